"""A BuildKit session: serves the build context and logins that a build asks for while it runs.

https://github.com/moby/buildkit/blob/master/session/session.go
"""

from __future__ import annotations

import secrets
from typing import IO, TYPE_CHECKING, Self

from farm.buildkit.grpc import GrpcStatus, Method, RefusedError, Server
from farm.buildkit.protobuf import decode, encode
from farm.errors import ContextError
from farm.model import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.buildkit.connection import Connection

    Accounts = Callable[[str], tuple[str, str] | None]
    """User and password for a registry host; None for an anonymous user."""

_CHUNK = 1 << 16
# https://github.com/moby/buildkit/blob/master/session/upload/upload.proto
_BYTES_MESSAGE_DATA = 1
# https://github.com/moby/buildkit/blob/master/session/auth/auth.proto
_CREDENTIALS_REQUEST_HOST = 1
_CREDENTIALS_RESPONSE_USERNAME, _CREDENTIALS_RESPONSE_SECRET = 1, 2
# https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto
_HEALTH_CHECK_RESPONSE_STATUS, _SERVING = 1, 1
# https://github.com/moby/buildkit/blob/master/session/auth/authprovider/authprovider.go
_DOCKER_HUB = "registry-1.docker.io"
"""The name by which BuildKit asks for the login of docker.io."""


class Session:
    """One build's session on a connection of its own; a selector waits on it and calls `receive`."""

    def __init__(self, connection: Connection, context: IO[bytes], accounts: Accounts) -> None:
        self.id = secrets.token_hex(12)
        self._path = secrets.token_hex(12)
        self._connection = connection
        self._methods = {
            # BuildKit drops a session whose health checks fail, with the build:
            # https://github.com/moby/buildkit/blob/master/session/grpc.go
            "/grpc.health.v1.Health/Check": Method(_check_health),
            "/moby.upload.v1.Upload/Pull": Method(self._upload(context), streaming=True),
            "/moby.filesync.v1.Auth/Credentials": Method(_credentials(accounts)),
        }
        self._server = Server(self._methods)
        self._open = True

    @property
    def remote(self) -> str:
        """The URL of the context; BuildKit resolves this host name through the session.

        https://github.com/moby/buildkit/blob/master/source/http/transport.go
        """
        return f"http://buildkit-session/{self._path}"

    @property
    def ended(self) -> bool:
        """Whether the engine closed the session."""
        return not self._open

    def fileno(self) -> int:
        """The descriptor that a selector waits on."""
        return self._connection.fileno()

    def start(self) -> Self:
        """Offer the session to the engine."""
        headers = [
            ("X-Docker-Expose-Session-Uuid", self.id),
            ("X-Docker-Expose-Session-Name", "farm"),
            ("X-Docker-Expose-Session-Sharedkey", ""),
            *(("X-Docker-Expose-Session-Grpc-Method", name) for name in self._methods),
        ]
        self._answer(self._connection.upgrade("POST", "/session", headers))
        return self

    def receive(self) -> None:
        """Wait for bytes from the engine, and answer them."""
        data = self._connection.read()
        self._open = bool(data)
        if data:
            self._answer(data)

    def _answer(self, data: bytes) -> None:
        for reply in self._server.receive(data):
            self._connection.send(reply)

    def _upload(self, context: IO[bytes]) -> Callable[[Mapping[str, str], bytes], Iterator[bytes]]:
        def pull(headers: Mapping[str, str], _: bytes) -> Iterator[bytes]:
            # https://github.com/moby/buildkit/blob/master/session/upload/upload.go
            if headers.get("urlpath", "").strip("/") != self._path:
                raise RefusedError(GrpcStatus.NOT_FOUND, "no such upload")
            for chunk in _chunks(context):
                yield encode((_BYTES_MESSAGE_DATA, chunk))

        return pull


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Read a file from its start; each reader keeps its own position, for BuildKit may ask twice."""
    position = 0
    try:
        while True:
            file.seek(position)
            chunk = file.read(_CHUNK)
            if not chunk:
                return
            position += len(chunk)
            yield chunk
    except OSError as error:
        raise ContextError(f"the build context cannot be read: {error}") from error


def _check_health(_: Mapping[str, str], __: bytes) -> Iterator[bytes]:
    yield encode((_HEALTH_CHECK_RESPONSE_STATUS, _SERVING))


def _credentials(accounts: Accounts) -> Callable[[Mapping[str, str], bytes], Iterator[bytes]]:
    def answer(_: Mapping[str, str], message: bytes) -> Iterator[bytes]:
        host = decode(message).text(_CREDENTIALS_REQUEST_HOST)
        account = accounts(DEFAULT_REGISTRY if host == _DOCKER_HUB else host)
        if account is None:
            yield b""  # anonymous access
        else:
            user, password = account
            yield encode((_CREDENTIALS_RESPONSE_USERNAME, user), (_CREDENTIALS_RESPONSE_SECRET, password))

    return answer
