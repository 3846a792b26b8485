"""A cache directory as `linuxkit` keeps it: oci-layout, blobs, and index.json, which names what is there."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from farm.cache.blobs import Blobs, on_disk
from farm.cache.content import missing
from farm.cache.lock import locked
from farm.errors import CacheBusyError, CacheError
from farm.model import Descriptor, Reference
from farm.registry.media_types import OCI_INDEX
from farm.system.files import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NAME = "org.opencontainers.image.ref.name"
"""The annotation under which index.json names what it holds, in full: docker.io/linuxkit/foo:HASH."""
PATIENCE = 600.0
"""Seconds to wait for the lock; `linuxkit` keeps it while it pulls an image."""
_LAYOUT = '{\n    "imageLayoutVersion": "1.0.0"\n}'
_EMPTY: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}

Change = dict[str, Descriptor | None]
"""Names to what they shall name; None takes a name away."""


class Cache:
    """A cache directory, made when something is first written to it."""

    def __init__(self, root: Path, *, patience: float = PATIENCE) -> None:
        self.root = root
        self.blobs = Blobs(root)
        self._patience = patience

    def names(self) -> dict[str, Descriptor]:
        """Everything that has a name here, in the order of index.json.

        Raises:
            CacheError: index.json cannot be read.
        """
        with on_disk(self.root), self._reading():
            return self.standing()

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name, or a digest among the named ones, stands for; None where it is not here."""
        names = self.names()
        if reference.digest:
            return next((one for one in names.values() if one.digest == reference.digest), None)
        return names.get(str(tagged(reference)))

    def change(self, decide: Callable[[Mapping[str, Descriptor]], Change]) -> Change:
        """Change names, all at once, while nobody else can; returns what was changed.

        A name is given only to what is here in full: whoever reads the cache finds no loose end.

        Args:
            decide: makes the change of the names as they stand.

        Raises:
            CacheBusyError: blobs were taken away since they were written; write them again.
            CacheError: the disk refuses it, or index.json cannot be read.
        """
        with on_disk(self.root), self.locked():
            index = self._index()
            change = decide(_names(index))
            self._refuse_loose_ends(change)
            kept = [one for one in index["manifests"] if _name(one) not in change]
            added = [_named(name, one) for name, one in change.items() if one]
            sync_directory(self.blobs.directory)
            self._write("index.json", json.dumps({**index, "manifests": [*kept, *added]}, indent=3))
        return change

    def standing(self) -> dict[str, Descriptor]:
        """As `names`, for whoever holds the lock."""
        return _names(self._index())

    def reset(self) -> None:
        """Take away all names, whatever index.json holds; for whoever holds the lock."""
        self._write("index.json", json.dumps(_EMPTY, indent=3))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else, `linuxkit` too, from changing names; makes the directory if it is missing."""
        with on_disk(self.root):
            self.blobs.directory.mkdir(parents=True, exist_ok=True)
            self.blobs.partial.mkdir(exist_ok=True)
            with locked(self.root / ".lock", self._patience):
                if not (self.root / "oci-layout").exists():
                    self._write("oci-layout", _LAYOUT)
                if not (self.root / "index.json").exists():
                    self._write("index.json", json.dumps(_EMPTY, indent=3))
                yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        # linuxkit rewrites index.json in place: without the lock, half of it could be read.
        path = self.root / ".lock"
        if not path.exists():
            yield
            return
        with locked(path, self._patience, exclusive=False):
            yield

    def _index(self) -> dict[str, Any]:
        """index.json as it stands, with whatever others wrote into it."""
        path = self.root / "index.json"
        try:
            index = json.loads(path.read_bytes())
            return {**index, "manifests": list(index["manifests"] or [])}
        except FileNotFoundError:
            return _EMPTY
        except (ValueError, KeyError, TypeError) as error:
            raise CacheError(
                f"{path}: cannot be read: {error}",
                hint="it is no OCI image layout, or damaged; farm cache clean empties it",
            ) from error

    def _refuse_loose_ends(self, change: Change) -> None:
        for name, root in change.items():
            for lost in missing(self.blobs, root) if root else ():
                raise CacheBusyError(
                    f"{self.root}: {lost.digest} of {name} was taken away while it was about to be named",
                    hint="somebody cleans up; do it again",
                )

    def _write(self, name: str, text: str) -> None:
        """Replace a file as a whole, on the disk before it has its name."""
        with self.blobs.writing() as writer:
            writer.write(text.encode())
            writer.become(self.root / name)
        sync_directory(self.root)


def tagged(reference: Reference) -> Reference:
    """The reference with a tag: `latest` where it has neither tag nor digest."""
    return reference if reference.tag or reference.digest else reference.with_tag("latest")


def _names(index: dict[str, Any]) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for one in index["manifests"]:
        try:
            found.setdefault(_name(one), Descriptor.from_json(one))
        except (KeyError, TypeError, AttributeError) as error:
            raise CacheError(f"index.json holds what is no descriptor: {one!r}") from error
    found.pop("", None)
    return found


def _name(one: dict[str, Any]) -> str:
    return str((one.get("annotations") or {}).get(NAME, ""))


def _named(name: str, one: Descriptor) -> dict[str, Any]:
    data = one.to_json()
    return {**data, "annotations": {**data.get("annotations", {}), NAME: name}}
