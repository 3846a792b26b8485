"""The `buildx` builder: `docker buildx` as a program, for remote builders, secrets, caches, attestations."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from farm.builders import engine_images
from farm.builders.buildx_command import command, to_registry
from farm.builders.buildx_plugin import (
    DEFAULT_BUILDER,
    builder_for,
    client_environment,
    config_directory,
    is_context,
    run,
)
from farm.builders.buildx_process import read_status, start
from farm.builders.failures import build_failure, push_failure
from farm.builders.message_stream import BuildLog, Limits, stream_messages
from farm.buildkit.progress import readable
from farm.errors import BuildFailedError, EngineUnavailableError, RegistryUnavailableError
from farm.model import DIGEST, Reference
from farm.system.processes import excerpt

if TYPE_CHECKING:
    from farm.builders.builder import BuildSpec, Control
    from farm.builders.buildx_plugin import Plugin
    from farm.builders.docker_engine import Engine
    from farm.registry.client import Registry
    from farm.settings import Settings

_log = logging.getLogger(__name__)

_ERROR = "ERROR: "
_PUSH_STEP = "pushing "
_METADATA = "metadata.json"


def run_buildx(
    plugin: Plugin, settings: Settings, spec: BuildSpec, output: str, context: IO[bytes], control: Control
) -> str:
    """Build one image with the builder of its architecture, attestations included, as `Builder.build` does.

    The tags of the spec name the image in messages and caches. `output` is where it goes: `to_registry`,
    `to_file` or `to_engine`.

    Returns:
        The digest of the image, or of its index, as buildx names it; "" if it does not.
    """
    reference = Reference.parse(spec.tags[0])
    result = BuildxResult(control.log)
    build_limits = Limits.start("the build", control, BuildFailedError)
    push_limits = Limits.start(
        f"the push of {reference.familiar}", control, RegistryUnavailableError, silence=settings.push_silence
    )

    def check(last_message: float) -> None:
        build_limits.check(last_message)
        # A step may be silent for long; a push that is silent hangs.
        if result.pushing:
            push_limits.check(last_message)

    builder = builder_for(settings, spec.arch)
    with config_directory(settings) as directory:
        environment = client_environment(settings, builder) | {"BUILDX_CONFIG": str(directory)}
        metadata = Path(directory, _METADATA)
        words = command(spec, settings, builder, output, environment, metadata)
        arguments = plugin.command_line(*words)
        with start(arguments, environment, context) as process:
            for item in stream_messages(process, check):
                result.take(item)
            status = process.status()
        result.check(status, reference)
        result.report_bases(control.report_base)
        return _digest(metadata)


def _digest(metadata: Path) -> str:
    """The digest in what buildx wrote: https://docs.docker.com/reference/cli/docker/buildx/build/#metadata-file."""
    try:
        data = json.loads(metadata.read_bytes())
    except (OSError, ValueError):
        return ""
    digest = data.get("containerimage.digest") if isinstance(data, dict) else None
    return digest if isinstance(digest, str) and DIGEST.fullmatch(digest) else ""


@dataclass(frozen=True, slots=True)
class BuildxBuilder:
    """A `Builder` whose `build` pushes the image too, attestations included."""

    plugin: Plugin
    settings: Settings
    engine: Engine
    """The worker's, which builds for the architectures without a builder of their own."""
    pushed: dict[str, str] = field(default_factory=dict)
    """Tag to the digest that was pushed under it."""

    def build(self, spec: BuildSpec, context: IO[bytes], control: Control) -> str:
        """See `Builder`; returns the digest that was pushed."""
        output = to_registry(spec, self.settings)
        digest = run_buildx(self.plugin, self.settings, spec, output, context, control)
        self.pushed.update(dict.fromkeys(spec.tags, digest))
        return digest

    def has_image(self, reference: Reference, image: str) -> bool:
        """See `Builder`; True only for what this builder has pushed, because a build ends with its push."""
        return bool(image) and self.pushed.get(str(reference)) == image

    def push(  # the build has pushed the image
        self,
        reference: Reference,
        control: Control,  # noqa: ARG002
        *,
        silence: float,  # noqa: ARG002
        registry: Registry | None = None,  # noqa: ARG002
    ) -> str:
        """See `Builder`; only returns what the build pushed."""
        if digest := self.pushed.get(str(reference)):
            return digest
        raise EngineUnavailableError(
            f"docker buildx does not name the digest that it pushed to {reference.familiar}",
            hint="upgrade buildx on the worker",
        )

    def remove_image(self, reference: Reference, arch: str) -> None:
        """See `Builder`; a builder that is not an engine keeps no images."""
        builder = builder_for(self.settings, arch)
        if builder == DEFAULT_BUILDER:
            engine_images.remove_image(self.engine, reference)
        elif is_context(self.settings.docker_config, builder):
            remove = ["docker", "image", "rm", "--force", str(reference)]
            variables = client_environment(self.settings, builder)
            done = run(remove, variables, timeout=self.settings.http_timeout)
            if done.returncode:
                _log.warning("%s stays on %s: %s", reference, builder, excerpt(done.stderr, 200))


@dataclass(slots=True)
class BuildxResult(BuildLog):
    """Logs what buildx prints, and knows why it failed."""

    error: list[str] = field(default_factory=list)
    """The last lines, from the one that begins with ERROR."""
    pushing: bool = False
    """Whether the push has begun."""

    def take(self, item: dict[str, Any] | str) -> None:
        """Process a progress object, or a line of text."""
        if not isinstance(item, str):
            trace = self.write_trace(lambda: read_status(item))
            names = [*(one.name for one in trace.vertexes), *(one.name for one in trace.statuses)]
            self.pushing |= any(name.startswith(_PUSH_STEP) for name in names)
        elif item.startswith(_ERROR):
            self.error = [item.removeprefix(_ERROR)]
        elif self.error:
            self.error.append(item)
        elif item.strip():
            self.log(readable(item))

    def check(self, status: int, reference: Reference) -> None:
        """Raise unless the image was built and is where it was to go; a negative status is a signal."""
        step, message = self.finish(), "\n".join(self.error)
        if status == 0:
            return
        if status < 0 and not message:
            raise EngineUnavailableError(f"docker buildx was killed by signal {-status}")
        if step and (
            step.vertex.name.startswith(_PUSH_STEP) or step.vertex.error.startswith("failed to push ")
        ):
            raise push_failure(reference, step.vertex.error)
        raise build_failure(message or f"docker buildx exited with status {status}", step)
