"""The builder for what only `docker buildx` can do: remote builders, secrets, caches, attestations."""

from __future__ import annotations

import hashlib
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from farm.build.command import command, pushed
from farm.build.engine import DEFAULT_URL
from farm.build.failures import failure
from farm.build.plugin import AS_PLUGIN, run
from farm.build.progress import Progress, readable
from farm.build.push import forget, push_failure
from farm.build.rawjson import Splitter, read_status
from farm.build.watch import Limit, watch
from farm.build.workplace import workplace
from farm.errors import BuildFailedError, ContextError, EngineUnavailableError, RegistryUnavailableError
from farm.model import Reference
from farm.programs import DIE_WITH_PARENT
from farm.settings import buildx_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from farm.build.engine import Engine
    from farm.build.plugin import Plugin
    from farm.build.progress import Step
    from farm.build.spec import BuildSpec
    from farm.settings import Settings

DEFAULT = "default"
"""How buildx calls the builder of the engine that DOCKER_HOST names."""
_CHUNK = 1 << 16
_END = 10.0
"""Seconds that buildx may take to end once it has said its last word."""
_ERROR = "ERROR: "


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
        self.run(spec, pushed(spec, self.settings), context, log=log, cancelled=cancelled, timeout=timeout)
        return spec.tags[0]

    def run(
        self,
        spec: BuildSpec,
        output: str,
        context: IO[bytes],
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
    ) -> None:
        """Build, and put the image where `output` says, one of `farm.build.command`; else as `build`."""
        outcome = Outcome(Reference.parse(spec.tags[0]), log)

        def over() -> bool:
            outcome.check_push(self.settings.push_silence)
            return cancelled()

        limit = Limit.of("the build", cancelled=over, timeout=timeout, too_long=BuildFailedError)
        builder = builder_for(self.settings, spec.arch)
        with workplace(self.settings) as place:
            environment = client_environment(self.settings, builder) | {"BUILDX_CONFIG": str(place)}
            words = self.plugin.words(*command(spec, self.settings, builder, output, environment))
            with _started(words, environment, context) as told:
                for item in watch(told, None, limit):
                    outcome.take(item)
                status = told.status()
        outcome.check(status)

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


class _Output:
    """What a running buildx prints, in pieces; `ended` once it has closed its output."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.ended = False
        self._process = process
        self._pipe = pipe
        self._splitter = Splitter()

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._pipe.fileno()

    def receive(self) -> list[dict[str, Any] | str]:
        """Objects and lines that are complete; waits for something."""
        data = self._pipe.read(_CHUNK)
        if data:
            return list(self._splitter.feed(data))
        self.ended = True
        return list(self._splitter.flush())

    def status(self) -> int:
        """How it ended; negative for the signal that killed it."""
        try:
            return self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def _started(words: Sequence[str], environment: Mapping[str, str], context: IO[bytes]) -> Iterator[_Output]:
    """A buildx under way, which ends the build when it is killed, as it is when this is left early."""
    try:
        # A description of its own, for the place in the file belongs to the description.
        with open(f"/proc/self/fd/{context.fileno()}", "rb") as packed:  # noqa: PTH123 - no path, but a descriptor
            process = subprocess.Popen(
                [*DIE_WITH_PARENT, *words],
                env=dict(environment),
                stdin=packed,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
    except OSError as error:
        raise ContextError(f"the build context cannot be read: {error}") from error
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    with process.stderr as pipe:
        try:
            yield _Output(process, pipe)
        finally:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Outcome:
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
            names = [*(one.name for one in trace.vertexes), *(one.name for one in trace.transfers)]
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
        """Return if the image was built and pushed.

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


def _is_push(step: Step) -> bool:
    return step.vertex.name.startswith("pushing ") or step.vertex.error.startswith("failed to push ")
