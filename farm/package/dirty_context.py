"""Build contexts from the working directory, for packages with uncommitted changes.

https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/build.go (buildCtx)
"""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError

if TYPE_CHECKING:
    from farm.model import Package

_GIT = ".git"


def pack_dirty(package: Package, into: IO[bytes]) -> None:
    """Write the build context of a package from the working directory: all but .git, also ignored files.

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
            if path.name != _GIT:
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
    if stat.S_ISREG(kind):
        with path.open("rb") as file:
            tar.addfile(entry, file)
    else:
        tar.addfile(entry)
    if stat.S_ISDIR(kind):
        _add(tar, package, path, name)
