"""A cache directory as `linuxkit` keeps it: oci-layout, blobs, and index.json with the names.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from farm.cache.blobs import Blobs, translate_disk_errors
from farm.cache.image_content import missing_blobs
from farm.errors import CacheBusyError, CacheError
from farm.model import Descriptor
from farm.model.strict_json import json_object, list_of
from farm.registry.oci import OCI_INDEX, read_descriptor
from farm.system import locks
from farm.system.files import make_directory, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from farm.model import Reference

NAME = "org.opencontainers.image.ref.name"
"""The annotation in index.json with the whole name: docker.io/linuxkit/foo:HASH.

https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys
"""
_LOCK_TIMEOUT = 600.0
"""Seconds to wait for the lock; `linuxkit` holds it while it pulls an image."""
_LAYOUT = '{\n    "imageLayoutVersion": "1.0.0"\n}'
_EMPTY: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}

Change = dict[str, Descriptor | None]
"""Names to what they are to refer to; None removes a name."""


def locked(path: Path, patience: float, *, exclusive: bool = True) -> AbstractContextManager[int]:
    """Hold the lock in a file, as `linuxkit` does with `.lock`; wait for its holder `patience` seconds."""
    busy = CacheBusyError(
        f"{path.parent}: the cache was locked for {patience:.0f} s",
        hint=f"does a linuxkit pull into it? `fuser {path}` shows who has it open",
    )
    return locks.locked(
        path, shared=not exclusive, timeout=patience, busy=busy, mode=0o644, operation=locks.posix_lock
    )


class Cache:
    """A cache directory, created when something is first written to it."""

    def __init__(self, root: Path, *, lock_timeout: float = _LOCK_TIMEOUT) -> None:
        self.root = root
        self.blobs = Blobs(root)
        self._lock_timeout = lock_timeout

    def names(self) -> dict[str, Descriptor]:
        """All names and what they refer to, in the order of index.json."""
        # linuxkit rewrites index.json in place: without the lock, a reader could see half of it.
        lock = self.root / ".lock"
        with (
            translate_disk_errors(self.root),
            locked(lock, self._lock_timeout, exclusive=False) if lock.exists() else nullcontext(),
        ):
            return self.names_under_lock()

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name or a digest in index.json refers to; None if there is no such entry."""
        names = self.names()
        if reference.digest:
            return next((one for one in names.values() if one.digest == reference.digest), None)
        return names.get(str(reference.or_latest()))

    def change(self, decide: Callable[[Mapping[str, Descriptor]], Change]) -> Change:
        """Change names in one step under the lock, as `decide` does for the current names; return the change.

        A name is given only to complete images: a reader of the cache never finds a name without its blobs.

        Raises:
            CacheBusyError: blobs were removed after they were written; write them again.
        """
        with self.locked():
            index = self._index()
            change = decide(_names(index))
            self._require_complete(change)
            kept = [one for one in index["manifests"] if _name(one) not in change]
            added = [_named(name, one) for name, one in change.items() if one]
            sync(self.blobs.directory)
            self._write("index.json", json.dumps({**index, "manifests": [*kept, *added]}, indent=3))
        return change

    def names_under_lock(self) -> dict[str, Descriptor]:
        """As `names`, for a caller that holds the lock."""
        return _names(self._index())

    def remove_all_names(self) -> None:
        """Write an empty index.json, whatever it contains; for a caller that holds the lock."""
        self._write("index.json", json.dumps(_EMPTY, indent=3))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, which `linuxkit` respects, too; create the directory if it is missing."""
        with translate_disk_errors(self.root):
            make_directory(self.blobs.directory)
            make_directory(self.blobs.partial)
            with locked(self.root / ".lock", self._lock_timeout):
                if not (self.root / "oci-layout").exists():
                    self._write("oci-layout", _LAYOUT)
                if not (self.root / "index.json").exists():
                    self._write("index.json", json.dumps(_EMPTY, indent=3))
                yield

    def _index(self) -> dict[str, Any]:
        """index.json, with all fields that other programs wrote."""
        path = self.root / "index.json"
        try:
            index = json_object(path.read_bytes(), "manifests")
            return {**index, "manifests": list_of([] if index["manifests"] is None else index["manifests"])}
        except FileNotFoundError:
            return _EMPTY
        except (ValueError, KeyError, TypeError) as error:
            raise CacheError(
                f"{path}: cannot be read: {error}",
                hint="not an OCI image layout, or damaged; farm cache clean empties it",
            ) from error

    def _require_complete(self, change: Change) -> None:
        for name, root in change.items():
            for removed in missing_blobs(self.blobs, root) if root else ():
                raise CacheBusyError(
                    f"{self.root}: the blob {removed.digest} of {name} was removed before it had a name",
                    hint="another process prunes the cache; try again",
                )

    def _write(self, name: str, text: str) -> None:
        """Replace a file in one step."""
        with self.blobs.writing() as writer:
            writer.write(text.encode())
            writer.rename_to(self.root / name)
        sync(self.root)


def _names(index: dict[str, Any]) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for one in index["manifests"]:
        try:
            found.setdefault(_name(one), read_descriptor(one))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CacheError(
                f"index.json contains an invalid descriptor: {error}",
                hint="farm cache clean empties the cache",
            ) from error
    found.pop("", None)
    return found


def _name(one: dict[str, Any]) -> str:
    annotations = one.get("annotations") if isinstance(one, dict) else None
    return str(annotations.get(NAME, "")) if isinstance(annotations, dict) else ""


def _named(name: str, one: Descriptor) -> dict[str, Any]:
    data = one.to_json()
    return {**data, "annotations": {**data.get("annotations", {}), NAME: name}}
