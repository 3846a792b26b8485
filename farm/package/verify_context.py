"""Build contexts as workers verify them: what was unpacked must hash to the tree that the job names."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.tags import render_tag
from farm.package.tarball import TarReader, printable
from farm.package.tree_hash import context_hash
from farm.package.tree_paths import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.model import Job
    from farm.package.tarball import Entry


def verify_context(tar: IO[bytes], job: Job) -> None:
    """Check that a context is the tree that its job names; reads it once, to its end.

    The tag is made from the job's hash. That is the same tree, or a name that the user gave to it (--hash,
    --hash-path), which no worker can check: upstream's kernels have a hash that their Makefile computes.

    Raises:
        ContextError: it is damaged, contains something that a context cannot, or has another hash.
    """
    found = context_hash(list(check_entries(TarReader(tar).entries())), job.destinations, job.submodules)
    tag = job.reference.tag or ""
    try:
        rendered = render_tag(job.tag, job.hash)
    except InputError as error:
        raise ContextError(error.message) from error
    if rendered != tag:
        raise ContextError(f"the job's hash {job.hash} and template {job.tag} do not give its tag {tag}")
    if job.tree != found:
        raise ContextError(
            f"the context has the hash {found}, but its job names {job.tree}", hint="submit the package again"
        )


def check_entries(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, each checked before it is yielded: when a context is packed and when it is read.

    Paths are relative, below the context, unique and in byte order; their parent is a directory that came
    before, so no entry can go through a symbolic link; and no directory is empty, because git has no empty
    directories.
    """
    last, directories, empty = b"", {b""}, set[bytes]()
    for entry in entries:
        _check_path(entry.path)
        if entry.path <= last:
            raise ContextError(f"the context contains {printable(entry.path)} twice, or out of order")
        parent = entry.path.rpartition(b"/")[0]
        if parent not in directories:
            raise ContextError(f"the context contains {printable(entry.path)} without its directory")
        empty.discard(parent)
        if entry.mode == DIRECTORY:
            directories.add(entry.path)
            empty.add(entry.path)
        last = entry.path
        yield entry
    if empty:
        raise ContextError(
            f"the context contains the empty directory {printable(min(empty))}, which git cannot store"
        )


def _check_path(path: bytes) -> None:
    if path.startswith(b"/"):
        raise ContextError(f"the context contains an absolute path: {printable(path)}")
    parts = path.split(b"/")
    if b".." in parts:
        raise ContextError(f"the context contains a path that leads out of it: {printable(path)}")
    if b"" in parts or b"." in parts or b"\0" in path:
        raise ContextError(f"the context contains a path that git cannot store: {printable(path)}")
