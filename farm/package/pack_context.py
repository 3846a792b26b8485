"""Build contexts as they are packed: from git's objects, or from the working directory of a dirty package."""

from __future__ import annotations

import stat
import tarfile
from collections import defaultdict
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.checkout import Checkout
from farm.package.context_entries import context_entries, list_contents
from farm.package.git import Repository, repository_of
from farm.package.git_objects import last_change, opened
from farm.package.tags import require_committed, require_submodules
from farm.package.tarball import Context, TarWriter
from farm.package.tree_paths import DIRECTORY, SYMLINK, as_bytes, part_of
from farm.package.working_files import WorkingFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.model import Package
    from farm.package.context_entries import Listing
    from farm.package.tarball import Blob, Entry


def pack_context(
    package: Package, into: IO[bytes], listings: Mapping[Repository, Listing] | None = None
) -> Context:
    """Write the context of a package as an uncompressed tar; the same content gives the same bytes.

    That of a committed package is what git would check out, with the time of the last commit that changed it.
    Where its trees were made from all of its files, the context holds those. `listings` are those of
    `list_contents`, where many packages are packed.

    Raises:
        DirtyError: the package has uncommitted changes.
        InputError: it is not in git, lacks a submodule, or its extra sources overlap.
    """
    require_committed(package)
    require_submodules(package)
    repositories = {repository_of(package, part) for part in package.parts}
    if not package.commit:
        files = {repository: WorkingFiles(repository.top) for repository in repositories}
        contents = _contents(package, context_entries(package, files), files)
        return _write(contents, into, max(one.newest for one in files.values()))
    listed = listings or list_contents([package])
    with ExitStack() as stack:
        checkouts = {
            one: Checkout(package.directory, listed[one], stack.enter_context(opened(one.top)))
            for one in repositories
        }
        contents = _contents(package, context_entries(package, checkouts), checkouts)
        return _write(contents, into, last_change(package))


def _contents(
    package: Package, entries: Sequence[Entry], sources: Mapping[Repository, Checkout | WorkingFiles]
) -> Iterator[tuple[Entry, Blob | None]]:
    """Each entry with its content, None of a link or directory; git begins at once to read them."""
    places = [as_bytes(part.dst) for part in package.parts]
    repositories = [repository_of(package, part) for part in package.parts]
    owners = [
        None if entry.mode in (DIRECTORY, SYMLINK) else repositories[part_of(entry, places)]
        for entry in entries
    ]
    files: dict[Repository, list[Entry]] = defaultdict(list)
    for entry, owner in zip(entries, owners, strict=True):
        if owner:
            files[owner].append(entry)
    blobs = {owner: sources[owner].contents(found) for owner, found in files.items()}
    return (
        (entry, next(blobs[owner]) if owner else None) for entry, owner in zip(entries, owners, strict=True)
    )


def _write(contents: Iterable[tuple[Entry, Blob | None]], into: IO[bytes], mtime: int) -> Context:
    writer = TarWriter(into, mtime)
    for entry, blob in contents:
        if blob:
            writer.add(entry._replace(size=blob.size), blob.pieces)
        else:
            writer.add(entry)
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
