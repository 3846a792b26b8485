"""A BuildKit session: what a build asks of its client while it runs, which is the context and logins."""

from __future__ import annotations

import secrets
from typing import IO, TYPE_CHECKING, Self

from farm.buildkit.grpc import Method, RefusedError, Server, Status
from farm.buildkit.protobuf import decode, encode
from farm.errors import ContextError
from farm.model import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.buildkit.connection import Connection
    from farm.registry.credentials import Login

    Credentials = Callable[[str], Login | None]

_CHUNK = 1 << 16
_HUB = "registry-1.docker.io"
"""The name by which BuildKit asks for the login of docker.io."""
_SERVING = 1


class Session:
    """One build's session on a connection of its own; a selector waits on it and calls `receive`."""

    def __init__(self, connection: Connection, context: IO[bytes], credentials: Credentials) -> None:
        self.id = secrets.token_hex(12)
        self._path = secrets.token_hex(12)
        self._connection = connection
        self._methods = {
            "/grpc.health.v1.Health/Check": Method(_healthy),
            "/moby.upload.v1.Upload/Pull": Method(self._upload(context), streaming=True),
            "/moby.filesync.v1.Auth/Credentials": Method(_login(credentials)),
        }
        self._server = Server(self._methods)
        self._open = True

    @property
    def remote(self) -> str:
        """Where BuildKit finds the context: a URL that it resolves through the session."""
        return f"http://buildkit-session/{self._path}"

    @property
    def ended(self) -> bool:
        """Whether the engine closed the session."""
        return not self._open

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._connection.fileno()

    def start(self) -> Self:
        """Offer the session to the engine.

        Raises:
            EngineUnavailableError: the engine refuses, or went away.
        """
        headers = [
            ("X-Docker-Expose-Session-Uuid", self.id),
            ("X-Docker-Expose-Session-Name", "farm"),
            ("X-Docker-Expose-Session-Sharedkey", ""),
            *(("X-Docker-Expose-Session-Grpc-Method", name) for name in self._methods),
        ]
        self._answer(self._connection.upgrade("POST", "/session", headers))
        return self

    def receive(self) -> None:
        """Take what the engine sent and answer; waits for something."""
        data = self._connection.read()
        self._open = bool(data)
        if data:
            self._answer(data)

    def _answer(self, data: bytes) -> None:
        for reply in self._server.receive(data):
            self._connection.send(reply)

    def _upload(self, context: IO[bytes]) -> Callable[[Mapping[str, str], bytes], Iterator[bytes]]:
        def pull(headers: Mapping[str, str], _: bytes) -> Iterator[bytes]:
            if headers.get("urlpath", "").strip("/") != self._path:
                raise RefusedError(Status.NOT_FOUND, "no such upload")
            for chunk in _chunks(context):
                yield encode((1, chunk))

        return pull


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The file from its start; each reader keeps its own place, for BuildKit may ask twice."""
    place = 0
    try:
        while True:
            file.seek(place)
            chunk = file.read(_CHUNK)
            if not chunk:
                return
            place += len(chunk)
            yield chunk
    except OSError as error:
        raise ContextError(f"the build context cannot be read: {error}") from error


def _healthy(_: Mapping[str, str], __: bytes) -> Iterator[bytes]:
    yield encode((1, _SERVING))


def _login(credentials: Credentials) -> Callable[[Mapping[str, str], bytes], Iterator[bytes]]:
    def ask(_: Mapping[str, str], message: bytes) -> Iterator[bytes]:
        host = decode(message).text(1)
        login = credentials(DEFAULT_REGISTRY if host == _HUB else host)
        yield encode((1, login.user), (2, login.password.reveal())) if login else b""

    return ask
