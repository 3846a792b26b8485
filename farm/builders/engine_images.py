"""Images in the engine: look up, tag and remove them; save and load them as archives, in chunks.

Every function raises EngineUnavailableError if the engine cannot be reached, and EngineError if it refuses.
"""

from __future__ import annotations

import io
import selectors
import time
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import chain
from typing import IO, TYPE_CHECKING

import docker.errors

from farm.builders.docker_engine import open_socket, translate_engine_errors
from farm.builders.failures import is_disk_full, quoted
from farm.buildkit.connection import json_object
from farm.errors import DiskFullError, EngineError
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Buffer

    from farm.builders.docker_engine import Engine

_CHUNK = 1 << 20
_POLL = 0.2
"""Seconds between two checks of a caller's limits."""


class _ChunkReader(io.RawIOBase):
    """A file over chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer as far as the current chunk does; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        into = memoryview(buffer)
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def save_image(engine: Engine, image: str) -> io.BufferedReader:
    """Open the archive of an image, by name or id, for one sequential read, which may raise, too.

    An engine writes the whole archive to its disk before the first byte, so this engine needs a long timeout.
    """
    with translate_engine_errors(engine.url):
        chunks = engine.api.get_image(image, chunk_size=_CHUNK)
        first = next(chunks, b"")  # docker-py sends the request only now
    return io.BufferedReader(_ChunkReader(_translated(engine, chain([first], chunks))), _CHUNK)


@contextmanager
def open_saved(engine: Engine, image: str, check: Callable[[float], None]) -> Iterator[IO[bytes]]:
    """The archive of an image, as `save_image`, for a caller that may be stopped while the engine writes it.

    Until the first byte, `check` is called a few times a second with the time since when it waits; it raises
    to stop. Raises EngineError for any other answer than an archive.
    """
    with translate_engine_errors(engine.url), closing(HTTPConnection("docker")) as connection:
        # Not h11, which takes twice the processor time for each byte.
        connection.sock = open_socket(engine.url, engine.timeout, engine.tls)
        connection.request("GET", engine.target(f"/images/{image}/get"))
        waiting = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(connection.sock, selectors.EVENT_READ)
            while not selector.select(_POLL):
                check(waiting)
        try:
            with connection.getresponse() as response:
                if response.status != HTTPStatus.OK:
                    message = (json_object(response.read(_CHUNK)) or {}).get("message", response.reason)
                    raise EngineError(f"the Docker Engine does not save the image: {quoted(str(message))}")
                yield io.BufferedReader(response, _CHUNK)
        except HTTPException as error:
            raise ConnectionError(str(error)) from error


def _translated(engine: Engine, chunks: Iterable[bytes]) -> Iterator[bytes]:
    with translate_engine_errors(engine.url):
        yield from chunks


def load_images(engine: Engine, archive: Iterable[bytes]) -> None:
    """Load an archive's images into the engine, under the names in it; DiskFullError if its disk is full."""
    with translate_engine_errors(engine.url):
        answer = list(engine.api.load_image(archive))
    for message in answer:
        if text := str(message.get("error") or ""):
            kind = DiskFullError if is_disk_full(text) else EngineError
            raise kind(f"the Docker Engine refused the image: {quoted(text)}")


def image_id(engine: Engine, name: Reference) -> str | None:
    """The id of the image with a name; None if there is none."""
    try:
        return str(engine.inspect(str(name))["Id"])
    except EngineError as error:
        if isinstance(error.__cause__, docker.errors.NotFound):
            return None
        raise


def has_image(engine: Engine, name: Reference, image: str) -> bool:
    """Whether this name has the image with this id."""
    with translate_engine_errors(engine.url):
        return any(image == one["Id"] for one in engine.api.images(str(name)))


def names_in(engine: Engine, repository: Reference) -> list[Reference]:
    """Every name that the engine has in a repository."""
    with translate_engine_errors(engine.url):
        images = engine.api.images(name=str(repository))
    return [Reference.parse(text) for image in images for text in image.get("RepoTags") or ()]


def tag_image(engine: Engine, image: str, name: Reference) -> None:
    """Give an image, by name or id, another name; an image that had that name loses it."""
    with translate_engine_errors(engine.url):
        engine.api.tag(image, name.name, name.tag)


def remove_image(engine: Engine, name: Reference) -> None:
    """Remove a name from the engine, if it is there; the build cache keeps the layers."""
    with translate_engine_errors(engine.url), suppress(docker.errors.NotFound):
        engine.api.remove_image(str(name), force=True)
