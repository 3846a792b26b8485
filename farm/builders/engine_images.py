"""Images out of the engine and into it, as archives that pass through in pieces."""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import docker.errors

from farm.builders.docker_engine import translate_engine_errors
from farm.errors import DiskFullError, EngineError
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

    from farm.builders.docker_engine import Engine

_PIECE = 1 << 20


class Pieces(io.RawIOBase):
    """What comes in pieces of any size, read as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill as much of the buffer as the next piece does; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        into = memoryview(buffer)
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def save(engine: Engine, image: str) -> io.BufferedReader:
    """The archive of an image, by name or id, to be read from front to end.

    Engines write the whole archive to their disk before its first byte, so give this one a long time-out.

    Raises:
        EngineUnavailableError: the engine went away; also while the archive is read.
        EngineError: it has no such image.
    """
    with translate_engine_errors(engine.url):
        pieces = cast("Any", engine.api).get_image(image, chunk_size=_PIECE)
        first = next(pieces, b"")  # docker-py asks no earlier whether the engine has it
    return io.BufferedReader(Pieces(_answering(engine, chain([first], pieces))), _PIECE)


def _answering(engine: Engine, pieces: Iterable[bytes]) -> Iterator[bytes]:
    with translate_engine_errors(engine.url):
        yield from pieces


def load(engine: Engine, archive: Iterable[bytes]) -> None:
    """Give the engine the images of an archive, under the names that it brings.

    Raises:
        EngineUnavailableError: the engine went away.
        EngineError: it refuses the archive.
        DiskFullError: its disk is full.
    """
    with translate_engine_errors(engine.url):
        answer = list(cast("Any", engine.api).load_image(archive))
    for message in answer:
        if text := str(message.get("error") or ""):
            kind = DiskFullError if "no space left" in text.lower() else EngineError
            raise kind(f"the Docker Engine refused the image: {' '.join(text.split())[:300]}")


def identify(engine: Engine, name: Reference) -> str | None:
    """The id of the image that the engine has under a name; None where it has none.

    Raises:
        EngineUnavailableError: the engine went away.
    """
    try:
        return str(engine.inspect(str(name))["Id"])
    except EngineError as error:
        if isinstance(error.__cause__, docker.errors.NotFound):
            return None
        raise


def names_of(engine: Engine, repository: Reference) -> list[Reference]:
    """Every name that the engine knows in a repository.

    Raises:
        EngineUnavailableError: the engine went away.
    """
    with translate_engine_errors(engine.url):
        images = cast("Any", engine.api).images(name=str(repository))
    return [Reference.parse(text) for image in images for text in image.get("RepoTags") or ()]


def tag(engine: Engine, image: str, name: Reference) -> None:
    """Give an image of the engine, by id or name, another name, which it takes from whatever had it.

    Raises:
        EngineUnavailableError: the engine went away.
        EngineError: it has no such image.
    """
    with translate_engine_errors(engine.url):
        cast("Any", engine.api).tag(image, name.name, name.tag)
