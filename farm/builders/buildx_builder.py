"""The builder for what only `docker buildx` can do: remote builders, secrets, caches, attestations."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from farm.builders.build_failures import failure
from farm.builders.buildx_command import command, pushed
from farm.builders.buildx_directory import workplace
from farm.builders.buildx_plugin import AS_PLUGIN, run
from farm.builders.buildx_process import started
from farm.builders.buildx_progress import read_status
from farm.builders.docker_engine import DEFAULT_URL
from farm.builders.engine_push import forget, push_failure
from farm.builders.wait import Limit, watch
from farm.buildkit.progress import Progress, readable
from farm.errors import BuildFailedError, EngineUnavailableError, RegistryUnavailableError
from farm.model import Reference
from farm.settings import buildx_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.builders.build_spec import BuildSpec
    from farm.builders.buildx_plugin import Plugin
    from farm.builders.docker_engine import Engine
    from farm.buildkit.progress import BuildStep
    from farm.settings import Settings

DEFAULT = "default"
"""How buildx calls the builder of the engine that DOCKER_HOST names."""
_ERROR = "ERROR: "


def build(
    plugin: Plugin,
    settings: Settings,
    spec: BuildSpec,
    output: str,
    context: IO[bytes],
    *,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    timeout: float,
) -> None:
    """Build one image with the builder of its architecture, attestations and all.

    Args:
        plugin: which buildx.
        settings: those of this machine.
        spec: what to build; its tags name it in messages and caches.
        output: where the image goes, as `farm.builders.buildx_command` says it.
        context: a plain tar in a file; read from its start.
        log: takes the build's log line by line.
        cancelled: asked a few times a second whether to give up.
        timeout: seconds that the whole build may take.

    Raises:
        FarmError: as `Builder.build` has it.
    """
    outcome = BuildxResult(Reference.parse(spec.tags[0]), log)

    def over() -> bool:
        outcome.check_push(settings.push_silence)
        return cancelled()

    limit = Limit.of("the build", cancelled=over, timeout=timeout, too_long=BuildFailedError)
    builder = builder_for(settings, spec.arch)
    with workplace(settings) as place:
        environment = client_environment(settings, builder) | {"BUILDX_CONFIG": str(place)}
        words = plugin.words(*command(spec, settings, builder, output, environment))
        with started(words, environment, context) as running:
            for item in watch(running, None, limit):
                outcome.take(item)
            status = running.status()
    outcome.check(status)


@dataclass(frozen=True, slots=True)
class BuildxBuilder:
    """A `Builder` that pushes what it has built itself, attestations and all."""

    plugin: Plugin
    settings: Settings
    engine: Engine
    """The worker's own, which builds what no builder is named for."""

    def build(
        self,
        spec: BuildSpec,
        context: IO[bytes],
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
    ) -> str:
        """As `Builder` has it."""
        build(
            self.plugin,
            self.settings,
            spec,
            pushed(spec, self.settings),
            context,
            log=log,
            cancelled=cancelled,
            timeout=timeout,
        )
        return spec.tags[0]

    def holds(self, reference: Reference, image: str) -> bool:  # noqa: ARG002 - what was built is pushed
        """Never: what comes after a build is no push of its own that could be tried again."""
        return False

    def push(
        self,
        reference: Reference,
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
        silence: float,
    ) -> None:
        """Nothing is left to do: the build ends with the push."""

    def forget(self, reference: Reference, arch: str) -> None:
        """As `Builder` has it; a builder that is no engine keeps no images."""
        builder = builder_for(self.settings, arch)
        if builder == DEFAULT:
            forget(self.engine, reference)
        elif is_context(self.settings.docker_config, builder):
            remove = ["docker", "image", "rm", "--force", str(reference)]
            run(remove, client_environment(self.settings, builder), timeout=self.settings.http_timeout)


def builder_for(settings: Settings, arch: str) -> str:
    """The name of what builds for an architecture."""
    return dict(settings.builders).get(f"linux/{arch}", DEFAULT)


def is_context(docker_config: Path, name: str) -> bool:
    """Whether docker has a context of that name."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    return (docker_config / "contexts" / "meta" / folder / "meta.json").is_file()


def client_environment(settings: Settings, builder: str) -> dict[str, str]:
    """The environment for docker's programs: which engine, docker's configuration, secrets by name."""
    named = [source[4:] for _, source in settings.build_secrets if source.startswith("env:")]
    configuration = {"DOCKER_CONFIG": str(settings.docker_config), **AS_PLUGIN}
    return buildx_environment(named) | configuration | _engine(settings, builder)


def _engine(settings: Settings, builder: str) -> dict[str, str]:
    # buildx takes a context only if it is the current one, and DOCKER_HOST would beat it.
    if is_context(settings.docker_config, builder):
        return {"DOCKER_CONTEXT": builder}
    url = settings.engine or DEFAULT_URL
    tls = settings.engine_certs if url.startswith("tcp://") else None
    certs = {"DOCKER_CERT_PATH": str(tls), "DOCKER_TLS_VERIFY": "1"} if tls else {}
    return {"DOCKER_HOST": url, **certs}


@dataclass(slots=True)
class BuildxResult:
    """What the output of buildx came to."""

    reference: Reference
    log: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)
    error: list[str] = field(default_factory=list)
    """Its last words, from the line that begins with ERROR on."""
    pushing: bool = False
    heard: float = 0.0
    """Monotonic time of the last sign that it gets further."""

    def take(self, item: dict[str, Any] | str) -> None:
        """Take an object of progress, or a line."""
        self.heard = time.monotonic()
        if isinstance(item, str):
            self._line(item)
            return
        try:
            trace = read_status(item)
            lines = list(self.progress.feed(trace))
            names = [*(one.name for one in trace.vertexes), *(one.name for one in trace.statuses)]
            self.pushing |= any(name.startswith("pushing ") for name in names)
        except ValueError as error:
            lines = [f"(progress that cannot be read: {error})"]
        for line in lines:
            self.log(line)

    def check_push(self, silence: float) -> None:
        """Raise if the push has begun, and got no further for `silence` seconds.

        Raises:
            RegistryUnavailableError: so it is.
        """
        if self.pushing and time.monotonic() > self.heard + silence:
            raise RegistryUnavailableError(
                f"the push of {self.reference.familiar} got no further for {silence:.0f} s and was stopped"
            )

    def check(self, status: int) -> None:
        """Return if the image was built, and is where it was to go.

        Raises:
            FarmError: why it was not.
        """
        for line in self.progress.flush():
            self.log(line)
        if status == 0:
            return
        step, message = self.progress.failed(), "\n".join(self.error)
        if status < 0 and not message:
            raise EngineUnavailableError(f"docker buildx was killed by signal {-status}")
        if step and _is_push(step):
            raise push_failure(self.reference, step.vertex.error)
        raise failure(message or f"docker buildx ended with status {status}", step)

    def _line(self, line: str) -> None:
        if line.startswith(_ERROR):
            self.error = [line.removeprefix(_ERROR)]
        elif self.error:
            self.error.append(line)
        elif line.strip():
            self.log(readable(line))


def _is_push(step: BuildStep) -> bool:
    return step.vertex.name.startswith("pushing ") or step.vertex.error.startswith("failed to push ")
