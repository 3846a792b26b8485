"""Contexts from the working directory, as `linuxkit pkg build` packs them: for what is not committed."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError

if TYPE_CHECKING:
    from farm.model import Package

_GIT = ".git"


def pack_working(package: Package, into: IO[bytes]) -> None:
    """Write the context of a package as it stands on the disk: all files, links and modes, also ignored ones.

    Only git's own directory stays out, as it does of what is committed.

    Raises:
        InputError: it holds what no context can, such as a socket.
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
        raise InputError(
            f"{package.directory}: {name} is no file, link or directory, and cannot be built from"
        )
    entry = tar.gettarinfo(path, name)
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    if entry.islnk():  # a second name of a file in the context; the engine wants the file itself
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
    if stat.S_ISREG(kind):
        with path.open("rb") as file:
            tar.addfile(entry, file)
    else:
        tar.addfile(entry)
    if stat.S_ISDIR(kind):
        _add(tar, package, path, name)
