"""A response of a registry, its body in memory or still on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from farm.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse

LARGEST = 8 << 20
"""Bytes of a body that is read as a whole: manifests and configurations."""
_PIECE = 1 << 16


@dataclass(slots=True)
class Response:
    """A response; its connection is used again once the body was read."""

    url: str
    """Where it came from, redirects included."""
    raw: BaseHTTPResponse
    body: bytes = b""
    """What `read` has read."""

    @property
    def status(self) -> int:
        """The status code."""
        return self.raw.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by names in any case."""
        return self.raw.headers

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.raw.status < HTTPStatus.MULTIPLE_CHOICES

    def read(self, registry: str) -> None:
        """Read the body, decompressed, into `body`.

        Raises:
            RegistryError: it is larger than any manifest or configuration; `registry` names who sent it.
            urllib3.exceptions.HTTPError: the connection broke.
        """
        body = bytearray()
        for piece in self.raw.stream(_PIECE, decode_content=True):
            body += piece
            if len(body) > LARGEST:
                raise RegistryError(f"the registry {registry} answers with more than {LARGEST >> 20} MiB")
        self.body = bytes(body)

    def pieces(self) -> Iterator[bytes]:
        """The body as it was sent, in pieces.

        Raises:
            urllib3.exceptions.HTTPError: the connection broke.
        """
        yield from self.raw.stream(_PIECE, decode_content=False)

    def close(self) -> None:
        """Give the connection back; one with an unread body is closed."""
        # None is an unknown length: such a body may be endless.
        if self.raw.length_remaining == 0 and not self.raw.chunked:
            self.raw.drain_conn()
        self.raw.close()
        self.raw.release_conn()
