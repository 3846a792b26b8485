"""Build an image with the BuildKit inside a Docker Engine: the request, its session, its log and its end."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from farm.builders.build_failures import failure
from farm.builders.wait import Limit, watch
from farm.buildkit.progress import Progress, readable
from farm.buildkit.session import Session
from farm.buildkit.trace import read_trace
from farm.errors import BuildFailedError, EngineError, EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.builders.build_spec import BuildSpec
    from farm.builders.docker_engine import Engine
    from farm.buildkit.connection import Connection
    from farm.registry.credentials import Login

_OK = 200


def build(
    engine: Engine,
    spec: BuildSpec,
    context: IO[bytes],
    *,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    timeout: float,
    credentials: Callable[[str], Login | None],
) -> str:
    """Build one image and leave it in the engine, under the tags of its spec.

    Args:
        engine: where to build.
        spec: what to build.
        context: a plain tar, seekable; read from its start, a piece at a time.
        log: takes the build's log line by line.
        cancelled: asked a few times a second whether to give up.
        timeout: seconds that the whole build may take.
        credentials: the login for a registry host, for private base images.

    Returns:
        The image's id in the engine, sha256:...

    Raises:
        BuildFailedError: a step failed, the Dockerfile is wrong, or the time is up.
        DiskFullError: the engine's disk is full.
        EngineUnavailableError: the engine went away.
        RegistryUnavailableError: the registry of a base image cannot be reached.
        CancelledError: the build was cancelled; it is not running any more.
        ContextError: the context cannot be read.
    """
    limit = Limit.of("the build", cancelled=cancelled, timeout=timeout, too_long=BuildFailedError)
    outcome = BuildResult(log)

    def accounts(host: str) -> tuple[str, str] | None:
        login = credentials(host)
        return (login.user, login.password.reveal()) if login else None

    with ExitStack() as stack:
        session = Session(stack.enter_context(engine.connection()), context, accounts).start()
        answer = stack.enter_context(_started(engine, spec, session))
        for message in watch(answer, session, limit):
            outcome.take(message)
    image = outcome.image(answer.status)
    check_architecture(engine, image, spec.arch)
    return image


@contextmanager
def _started(engine: Engine, spec: BuildSpec, session: Session) -> Iterator[Connection]:
    """The request under way; if it is left before it ended, the build ends too."""
    token = secrets.token_hex(12)
    own = [("session", session.id), ("remote", session.remote), ("buildid", token)]
    with engine.connection() as answer:
        answer.request("POST", engine.target("/build", [*spec.query(), *own]))
        try:
            yield answer
        finally:
            if not answer.ended:
                _cancel(engine, token)


def _cancel(engine: Engine, token: str) -> None:
    """Tell the engine to end a build; dropping the connection, which follows, says the same once more."""
    with suppress(EngineUnavailableError), engine.connection() as connection:
        connection.request("POST", engine.target("/build/cancel", [("id", token)]))
        while not connection.ended:
            connection.receive()


@dataclass(slots=True)
class BuildResult:
    """What the messages of a build came to."""

    log: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)
    id: str = ""
    error: str = ""

    def take(self, message: dict[str, Any]) -> None:
        """Take one message of the engine's answer."""
        kind, aux = message.get("id"), message.get("aux")
        if kind == "moby.buildkit.trace":
            self._trace(str(aux))
        elif kind == "moby.image.id" and isinstance(aux, dict):
            self.id = str(aux.get("ID", ""))
        elif isinstance(text := message.get("error") or message.get("message"), str):
            self.error = text
        elif isinstance(text := message.get("stream"), str) and text.strip():
            self.log(readable(text))

    def image(self, status: int) -> str:
        """The image's id.

        Raises:
            FarmError: why there is none.
        """
        for line in self.progress.flush():
            self.log(line)
        if self.error or status != _OK:
            raise failure(self.error or f"the engine answered with status {status}", self.progress.failed())
        if not self.id:
            raise EngineUnavailableError(
                "the Docker Engine broke off the build without a result", hint="see the log of dockerd"
            )
        return self.id

    def _trace(self, aux: str) -> None:
        try:
            lines = list(self.progress.feed(read_trace(aux)))
        except ValueError as error:
            lines = [f"(progress that cannot be read: {error})"]
        for line in lines:
            self.log(line)


def check_architecture(engine: Engine, image: str, arch: str) -> None:
    """Refuse an image of another architecture; the classic builder made such, and said nothing.

    Raises:
        BuildFailedError: the image's configuration names another architecture.
        EngineUnavailableError: the image is gone again, taken away by one who builds it too.
    """
    try:
        built = engine.inspect(image)["Architecture"]
    except EngineUnavailableError:
        raise
    except EngineError as error:
        raise EngineUnavailableError(f"the image that was built is gone again: {error}") from error
    if built != arch:
        raise BuildFailedError(
            f"the image that was built is for {built}, not for {arch}",
            hint="see what its Dockerfile builds on",
        )
