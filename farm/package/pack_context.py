"""Build contexts as they are packed: from git's objects, or from the working directory of a dirty package."""

from __future__ import annotations

import stat
import tarfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.context_entries import context_entries, list_contents
from farm.package.git_objects import opened
from farm.package.tags import require_committed
from farm.package.tarball import Context, TarWriter
from farm.package.tree_hash import DIRECTORY, SYMLINK

if TYPE_CHECKING:
    from farm.model import Package


def pack_context(package: Package, into: IO[bytes]) -> Context:
    """Write the context of a committed package as an uncompressed tar; the same content gives the same bytes.

    The working directory is not read. Every entry has the time of the last commit that changed the package.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git, or its extra sources overlap.
    """
    commit = require_committed(package)
    (listing,) = list_contents([package]).values()
    with opened(package.repository) as objects:
        entries = context_entries(package, listing)
        writer = TarWriter(into, objects.last_change(commit, [tree.path for tree in package.trees]))
        for entry in entries:
            if entry.mode == DIRECTORY:
                writer.add(entry)
            elif entry.mode == SYMLINK:
                writer.add(replace(entry, target=objects.read(entry.oid)))
            else:
                size, content = objects.open(entry.oid)
                writer.add(replace(entry, size=size), content)
        return writer.close()


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
