"""Build contexts as they are packed: from git's objects, or from the working directory of a dirty package."""

from __future__ import annotations

import re
import stat
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.git_objects import opened
from farm.package.tags import require_committed
from farm.package.tarball import Context, Entry, TarWriter, printable
from farm.package.tree_hash import DIRECTORY, SYMLINK, context_hash
from farm.package.verify_context import check_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Package
    from farm.package.git_objects import Objects

_HASH = re.compile(r"[0-9a-f]{40}")


def pack_context(package: Package, into: IO[bytes]) -> Context:
    """Write the context of a committed package as an uncompressed tar; the same content gives the same bytes.

    The working directory is not read. Every entry has the time of the last commit that changed the package.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git, its tag names other content, or its extra sources overlap.
    """
    commit = require_committed(package)
    places = [tree.dst for tree in package.trees[1:]]
    _check_places(package, places)
    with opened(package.repository) as objects:
        entries = _merged(package, objects)
        found = context_hash(entries, places)
        if _HASH.fullmatch(package.hash) and package.hash != found:
            raise InputError(
                f"{package.directory}: its tag names {package.hash}, but its content has the hash {found}",
                hint="--hash-path and --hash are for farm show-tag; workers verify what a tag names",
            )
        writer = TarWriter(into, objects.last_change(commit, [tree.path for tree in package.trees]))
        for entry in check_entries(entries):
            is_file = entry.mode not in (DIRECTORY, SYMLINK)
            writer.add(entry, objects.content(entry.oid) if is_file else ())
        return writer.close()


def _check_places(package: Package, places: Sequence[str]) -> None:
    for place in places:
        parts = place.split("/")
        if place.startswith("/") or {"", ".", ".."} & set(parts):
            raise InputError(
                f"{package.directory}: the destination {place!r} of an extra source is not below the package"
            )
        if places.count(place) > 1:
            raise InputError(f"{package.directory}: two extra sources have the same destination, {place}")


def _merged(package: Package, objects: Objects) -> list[Entry]:
    entries: dict[bytes, Entry] = {}
    for tree in package.trees:
        own = list(objects.entries(tree.tree, tree.dst))
        if tree.dst:
            own.append(Entry(tree.dst.encode(errors="surrogateescape"), DIRECTORY))
        for entry in own:
            if entry.path in entries:
                raise InputError(
                    f"{package.directory}: the extra source {tree.path} overwrites {printable(entry.path)}",
                    hint="give it another destination",
                )
            entries[entry.path] = entry
    for tree in package.trees[1:]:
        _add_parents(package, tree.dst.encode(errors="surrogateescape"), entries)
    return [entries[path] for path in sorted(entries)]


def _add_parents(package: Package, place: bytes, entries: dict[bytes, Entry]) -> None:
    while place := place.rpartition(b"/")[0]:
        if entries.setdefault(place, Entry(place, DIRECTORY)).mode != DIRECTORY:
            raise InputError(
                f"{package.directory}: the destination of an extra source is below {printable(place)}, a file"
            )


def pack_dirty(package: Package, into: IO[bytes]) -> None:
    """Write the build context of a package from the working directory: all but .git, also ignored files.

    https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/build.go (buildCtx)

    Raises:
        InputError: it contains something that a context cannot, such as a socket.
        ContextError: it cannot be read, or changes while it is packed.
    """
    top = Path(package.directory).resolve()
    sources = [(top, "")]
    sources += [((top / extra.src).resolve(), extra.dst) for extra in package.yml.extra_sources]
    try:
        with tarfile.open(fileobj=into, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
            for source, place in sources:
                _add(tar, package, source, place)
    except OSError as error:
        where = error.filename or package.directory
        raise ContextError(f"{where}: cannot be packed: {error.strerror or error}") from error


def _add(tar: tarfile.TarFile, package: Package, source: Path, place: str) -> None:
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if path.name != ".git":
                _add_one(tar, package, path, f"{place}/{path.name}".lstrip("/"))
    else:
        _add_one(tar, package, source, place)


def _add_one(tar: tarfile.TarFile, package: Package, path: Path, name: str) -> None:
    kind = path.lstat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind)):
        raise InputError(f"{package.directory}: {name} is not a file, symbolic link or directory")
    entry = tar.gettarinfo(path, name)
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    if entry.islnk():  # a hard link to another file of the context; the engine needs the content
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
    with path.open("rb") if stat.S_ISREG(kind) else nullcontext() as file:
        tar.addfile(entry, file)
    if stat.S_ISDIR(kind):
        _add(tar, package, path, name)
