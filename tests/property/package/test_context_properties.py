"""For any tree that git can hold: what is packed is what the tag names, and nothing else passes."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm.errors import ContextError
from farm.model import BuildYml, GitTree, Job, Package, Reference
from farm.package.pack_context import pack_context
from farm.package.verify_context import verify_context
from tests.property.package.trees import NAMES, trees
from tests.support.git_repos import git, make_repository

if TYPE_CHECKING:
    from collections.abc import Mapping


Files = dict[bytes, tuple[str, bytes]]
"""Path to mode and content."""

_CONTENTS = st.one_of(st.binary(max_size=40), st.integers(0, 3).map(lambda blocks: b"x" * (512 * blocks)))
_LEAVES = st.one_of(
    st.tuples(st.sampled_from(["100644", "100755"]), _CONTENTS),
    st.tuples(st.just("120000"), st.binary(min_size=1, max_size=120).filter(lambda target: 0 not in target)),
)
# A header of a tar holds names of up to 99 bytes.
_LONG = st.sampled_from([b"n" * 99, b"n" * 100, b"n" * 101, b"\xff" * 99])
_TREES = trees(st.one_of(NAMES, _LONG), _LEAVES)
_SAMPLE: Files = {
    b"/".join([b"d" * 60] * 5) + b"/" + b"n" * 200: ("100755", b"#!/bin/sh\n"),
    b"etc/" + b"n" * 120: ("100644", b"x" * 600),
    b"lib": ("120000", b"etc"),
    b"link": ("120000", b"t" * 300),
    b"m" * 99: ("100644", b""),
    b"m" * 100: ("100644", b""),
}


def _commit(repository: Path, files: Mapping[bytes, tuple[str, bytes]]) -> str:
    """Commit just these files, without a working tree, so that any name may occur."""
    stream = [b"commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 0\ndeleteall\n"]
    for path, (mode, content) in files.items():
        # The path is quoted as git unquotes it: every byte in octal.
        quoted = b"".join(b"\\%03o" % byte for byte in path)
        stream.append(b'M %s inline "%s"\ndata %d\n%s\n' % (mode.encode(), quoted, len(content), content))
    git(repository, "fast-import", "--quiet", "--force", given=b"".join(stream))
    return git(repository, "rev-parse", "main").decode()


def _package(repository: Path, commit: str, places: tuple[str, ...] = ()) -> Package:
    """What is below p/ is the package, what is below s0/, s1/ its extra sources."""
    paths = {"p": "", **{f"s{number}": place for number, place in enumerate(places)}}
    trees = tuple(
        GitTree(path, git(repository, "rev-parse", f"{commit}:{path}").decode(), place)
        for path, place in paths.items()
    )
    hash_ = trees[0].tree
    if places:
        hash_ = hashlib.sha1("".join(tree.tree for tree in trees).encode()).hexdigest()
    reference = Reference("docker.io", "linuxkit/p", hash_)
    return Package("p", BuildYml("p"), reference, hash_, str(repository), commit, False, trees)


def _job(package: Package) -> Job:
    places = tuple(tree.dst for tree in package.trees[1:])
    hash_, reference = package.hash, package.reference
    return Job("r1", "linuxkit/p", reference, "amd64", hash_, package.tree, "{{.Hash}}", "sha256:", places)


def _packed(package: Package) -> bytes:
    into = io.BytesIO()
    pack_context(package, into)
    return into.getvalue()


def _below(folder: bytes, files: Files) -> Files:
    return {folder + b"/" + path: leaf for path, leaf in files.items()}


@settings(max_examples=40, deadline=None)
@given(files=_TREES)
@example(files=_SAMPLE)
def test_the_context_of_any_tree_is_the_one_that_its_tag_names(files: Files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder))
        package = _package(repository, _commit(repository, _below(b"p", files)))
        plain = _packed(package)
    verify_context(io.BytesIO(plain), _job(package))
    _holds(plain, files)


def _holds(plain: bytes, files: Files) -> None:
    """Python's own reader of tar sees the same files."""
    found: Files = {}
    with tarfile.open(fileobj=io.BytesIO(plain), encoding="utf-8", errors="surrogateescape") as tar:
        for item in tar:
            name = item.name.encode(errors="surrogateescape")
            if item.issym():
                found[name] = ("120000", item.linkname.encode(errors="surrogateescape"))
            elif item.isreg():
                content = tar.extractfile(item)
                assert content is not None
                found[name] = (f"100{item.mode:o}", content.read())
    assert found == files


@settings(max_examples=15, deadline=None)
@given(own=_TREES, sources=st.lists(_TREES, min_size=1, max_size=2))
def test_the_context_with_any_extra_sources_is_the_one_that_its_tag_names(
    own: Files, sources: list[Files]
) -> None:
    own = {path: leaf for path, leaf in own.items() if not path.startswith(b"place")}
    files = {**_below(b"p", {**own, b"build.yml": ("100644", b"")})}
    for number, source in enumerate(sources):
        files |= _below(b"s%d" % number, source)
    places = ("place/one", "place-two")[: len(sources)]
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder))
        package = _package(repository, _commit(repository, files), places)
        verify_context(io.BytesIO(_packed(package)), _job(package))


@settings(max_examples=10, deadline=None)
@given(files=_TREES)
def test_two_clones_give_the_same_bytes(files: Files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder) / "one")
        commit = _commit(repository, _below(b"p", files))
        clone = Path(folder) / "two"
        git(Path(folder), "clone", "-q", "--no-checkout", f"file://{repository}", str(clone))
        git(clone, "repack", "-adq")
        assert _packed(_package(repository, commit)) == _packed(_package(clone, commit))


def _sample() -> tuple[bytes, Job]:
    with tempfile.TemporaryDirectory() as folder:
        repository = make_repository(Path(folder))
        package = _package(repository, _commit(repository, _below(b"p", _SAMPLE)))
        return _packed(package), _job(package)


_PLAIN, _JOB = _sample()


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(_PLAIN) - 1), flip=st.integers(1, 255))
def test_a_context_with_any_byte_changed_is_refused(at: int, flip: int) -> None:
    changed = bytearray(_PLAIN)
    changed[at] ^= flip
    with pytest.raises(ContextError):
        verify_context(io.BytesIO(changed), _JOB)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, len(_PLAIN) - 1))
def test_a_context_truncated_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ContextError, match="truncated"):
        verify_context(io.BytesIO(_PLAIN[:length]), _JOB)


@settings(max_examples=100, deadline=None)
@given(garbage=st.binary(max_size=2048))
@example(garbage=b"not a tar" * 2000)
def test_garbage_is_refused_with_an_error_of_one_line(garbage: bytes) -> None:
    with pytest.raises(ContextError) as error:
        verify_context(io.BytesIO(garbage), _JOB)
    assert "\n" not in str(error.value)
