"""Merge archives of `docker save` into one, and set the names of their images."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, TYPE_CHECKING, Any

from farm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST = "manifest.json"
_LISTS = (MANIFEST, "repositories", "index.json", "oci-layout")
"""The files that list the images of an archive; the merged archive gets one new list, at the end."""


def merge_archives(archives: Sequence[tuple[IO[bytes], Sequence[str]]], into: IO[bytes]) -> None:
    """Write one archive with the images of several; files that they share are written once.

    Args:
        archives: each at its start, with the new names (NAME:TAG) of its image.
        into: where to write, with bounded memory.

    Raises:
        EngineError: an archive is not in the format of `docker save`.
    """
    listed: list[dict[str, Any]] = []
    copied: set[str] = set()
    with tarfile.open(fileobj=into, mode="w") as merged:
        for archive, names in archives:
            listed += [{**image, "RepoTags": list(names) or None} for image in _copy(archive, merged, copied)]
        body = json.dumps(listed).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mode = len(body), 0o644
        merged.addfile(entry, io.BytesIO(body))


def _copy(archive: IO[bytes], merged: tarfile.TarFile, copied: set[str]) -> list[dict[str, Any]]:
    """Copy the files that are not in the merged archive yet; return the archive's list of images."""
    listed: list[dict[str, Any]] | None = None
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isreg() else None
                if entry.name == MANIFEST and content:
                    listed = json.load(content)
                elif entry.name not in _LISTS and entry.name not in copied:
                    copied.add(entry.name)
                    merged.addfile(entry, content)
    except (tarfile.TarError, ValueError) as error:
        raise EngineError(f"the engine saved an image as an invalid archive: {error}") from error
    if not listed:
        raise EngineError(f"the engine saved an image without a {MANIFEST}")
    return listed
