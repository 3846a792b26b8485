"""Saved images, as `docker save` writes them: several made into one, each under the names it shall have."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, TYPE_CHECKING, Any

from farm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST = "manifest.json"
_LEFT_OUT = (MANIFEST, "repositories", "index.json", "oci-layout")
"""What lists the images of an archive; the one list that stays is written anew, at the end."""


def merge(saved: Sequence[tuple[IO[bytes], Sequence[str]]], into: IO[bytes]) -> None:
    """Write one archive that holds all the images of others; what they share is written once.

    Args:
        saved: archives at their start, each with the names (NAME:TAG) that its image shall have.
        into: where to write; memory stays bounded, whatever the size.

    Raises:
        EngineError: an archive is not what an engine writes.
    """
    listed: list[dict[str, Any]] = []
    seen: set[str] = set()
    with tarfile.open(fileobj=into, mode="w") as merged:
        for archive, names in saved:
            listed += [{**image, "RepoTags": list(names) or None} for image in _copy(archive, merged, seen)]
        body = json.dumps(listed).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mode = len(body), 0o644
        merged.addfile(entry, io.BytesIO(body))


def _copy(archive: IO[bytes], merged: tarfile.TarFile, seen: set[str]) -> list[dict[str, Any]]:
    """Copy all that is new of an archive; returns what it lists."""
    listed: list[dict[str, Any]] | None = None
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isreg() else None
                if entry.name == MANIFEST and content:
                    listed = json.load(content)
                elif entry.name not in _LEFT_OUT and entry.name not in seen:
                    seen.add(entry.name)
                    merged.addfile(entry, content)
    except (tarfile.TarError, ValueError) as error:
        raise EngineError(f"the engine saved an image as something that cannot be read: {error}") from error
    if not listed:
        raise EngineError(f"the engine saved an image without a {MANIFEST}")
    return listed
