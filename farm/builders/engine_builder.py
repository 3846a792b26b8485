"""The `engine` builder: BuildKit in a Docker Engine builds; needs no client program.

https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImageBuild/
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from farm.builders import engine_images, engine_push, saved_push
from farm.builders.failures import build_failure
from farm.builders.message_stream import BuildLog, Limits, stream_messages
from farm.buildkit.progress import readable
from farm.buildkit.session import Session
from farm.buildkit.status_messages import read_trace
from farm.errors import BuildFailedError, EngineError, EngineUnavailableError, TemporaryFullError
from farm.registry.compression import HAS_ISAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.builders.builder import BuildSpec, Control
    from farm.builders.docker_engine import Engine
    from farm.buildkit.connection import Connection
    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.registry.credentials import Login

_OK = 200


@dataclass(frozen=True, slots=True)
class EngineBuilder:
    """A `Builder` that leaves the image in the engine, from where the engine or the farm pushes it."""

    engine: Engine
    login_for: Callable[[str], Login | None]
    """The login for a registry host, for base images and pushes."""

    def build(self, spec: BuildSpec, context: IO[bytes], control: Control) -> str:
        """See `Builder`; returns the image's id in the engine, sha256:..."""
        limits = Limits.start("the build", control, BuildFailedError)
        result = BuildResult(control.log)
        with ExitStack() as stack:
            connection = stack.enter_context(self.engine.connection())
            session = Session(connection, context, self._account).start()
            response = stack.enter_context(_build_request(self.engine, spec, session))
            for message in stream_messages(response, limits.check, session):
                result.take(message)
        image = result.image(response.status)
        result.report_bases(control.report_base)
        check_architecture(self.engine, image, spec.arch)
        return image

    def has_image(self, reference: Reference, image: str) -> bool:
        """See `Builder`."""
        return engine_images.has_image(self.engine, reference, image)

    def push(
        self, reference: Reference, control: Control, *, silence: float, registry: Registry | None = None
    ) -> str:
        """See `Builder`."""
        if registry and HAS_ISAL:
            try:
                return saved_push.push(self.engine, registry, reference, control, silence=silence)
            except (EngineError, TemporaryFullError) as error:
                if isinstance(error, EngineUnavailableError):
                    raise
                # It has no room for an archive, say, or the image is gone, which its own push will report.
                control.log(f"push: {error.message}: the engine pushes the image itself")
        login = self.login_for(reference.registry)
        return engine_push.push(self.engine, reference, login, control, silence=silence)

    def remove_image(self, reference: Reference, arch: str) -> None:  # noqa: ARG002 - one engine has them all
        """See `Builder`."""
        engine_images.remove_image(self.engine, reference)

    def _account(self, host: str) -> tuple[str, str] | None:
        login = self.login_for(host)
        return (login.user, login.password.reveal()) if login else None


@contextmanager
def _build_request(engine: Engine, spec: BuildSpec, session: Session) -> Iterator[Connection]:
    """A POST /build in progress; leaving it before it has ended cancels the build."""
    build_id = secrets.token_hex(12)
    query = [
        *spec.query(containerd=spec.has_epoch and engine.info().containerd),
        ("session", session.id),
        ("remote", session.remote),
        ("buildid", build_id),
    ]
    with engine.connection() as response:
        response.request("POST", engine.target("/build", query))
        try:
            yield response
        finally:
            if not response.ended:
                _cancel(engine, build_id)


def _cancel(engine: Engine, build_id: str) -> None:
    """Cancel a build: https://github.com/moby/moby/blob/master/daemon/server/router/build/build.go."""
    # Best effort, since the connection of the build is closed next, which has the same effect.
    with suppress(EngineUnavailableError), engine.connection() as response:
        response.request("POST", engine.target("/build/cancel", [("id", build_id)]))
        while not response.ended:
            response.receive()


@dataclass(slots=True)
class BuildResult(BuildLog):
    """The result of a build, from the messages of the engine's response."""

    id: str = ""
    error: str = ""

    def take(self, message: dict[str, Any]) -> None:
        """Process one message."""
        kind, aux = message.get("id"), message.get("aux")
        if kind == "moby.buildkit.trace":
            self.write_trace(lambda: read_trace(str(aux)))
        elif kind == "moby.image.id" and isinstance(aux, dict):
            self.id = str(aux.get("ID", ""))
        elif isinstance(text := message.get("error") or message.get("message"), str):
            self.error = text
        elif isinstance(text := message.get("stream"), str) and text.strip():
            self.log(readable(text))

    def image(self, status: int) -> str:
        """The image's id; raises if the build failed."""
        failed_step = self.finish()
        if self.error or status != _OK:
            raise build_failure(self.error or f"the engine answered with status {status}", failed_step)
        if not self.id:
            raise EngineUnavailableError(
                "the Docker Engine ended the build without a result", hint="see the log of dockerd"
            )
        return self.id


def check_architecture(engine: Engine, image: str, arch: str) -> None:
    """Refuse an image of another architecture; the classic builder made such images without an error."""
    try:
        built = engine.inspect(image)["Architecture"]
    except EngineUnavailableError:
        raise
    except EngineError as error:
        # Another process that builds the same image has removed it.
        raise EngineUnavailableError(f"the built image has disappeared from the engine: {error}") from error
    if built != arch:
        raise BuildFailedError(
            f"the built image is for {built}, not for {arch}", hint="see the base image in its Dockerfile"
        )
