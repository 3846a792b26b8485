"""Whatever a package holds and whatever is changed in it, its tag says what git says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.package.read import TagOptions, read_packages
from tests.support.git_repos import commit, git, make_repository

_BYTES = st.sampled_from(b'ab-._ \xff\xc3\xa4\n"\\*?[:!#')
_NAMES = st.lists(_BYTES, min_size=1, max_size=5).map(bytes).filter(lambda name: name not in (b".", b".."))
_LEAVES = st.one_of(
    st.tuples(st.sampled_from([0o644, 0o755]), st.binary(max_size=20)),
    st.tuples(st.just(0), st.sampled_from([b"nowhere", b"..", b"/etc", b"build.yml"])),
)
"""Mode and content; mode 0 for a symbolic link."""
_FOLDERS = st.dictionaries(_NAMES, _LEAVES, min_size=1, max_size=4)
_CHANGES = ("none", "write", "remove", "mode", "retarget", "add", "ignored", "elsewhere")


def _make(folder: bytes, leaves: dict[bytes, tuple[int, bytes]]) -> None:
    Path(os.fsdecode(folder)).mkdir(parents=True, exist_ok=True)
    for name, (mode, content) in leaves.items():
        path = Path(os.fsdecode(folder + b"/" + name))
        if mode:
            path.write_bytes(content)
            path.chmod(mode)
        else:
            path.symlink_to(os.fsdecode(content))


def _change(package: Path, how: str, name: bytes) -> None:
    """Change something of a package, or beside it."""
    path = Path(os.fsdecode(bytes(package) + b"/" + name))
    if how == "write" and not path.is_symlink():
        path.write_bytes(b"something else, and longer than before")
    elif how == "remove":
        path.unlink()
    elif how == "mode" and not path.is_symlink():
        path.chmod(path.stat().st_mode ^ 0o111)
    elif how == "retarget" and path.is_symlink():
        path.unlink()
        path.symlink_to("elsewhere")
    elif how in ("add", "ignored"):
        (package / f"more.{how}").write_text("more")
    elif how == "elsewhere":
        (package.parent / "beside").write_text("more")


@settings(max_examples=60, deadline=None)
@given(
    leaves=_FOLDERS, how=st.sampled_from(_CHANGES), directory=_NAMES.filter(lambda name: b"\n" not in name)
)
def test_a_tag_is_gits_tree_and_dirty_where_git_says_so(
    leaves: dict[bytes, tuple[int, bytes]], how: str, directory: bytes
) -> None:
    with tempfile.TemporaryDirectory() as home:
        repository = make_repository(Path(home) / "repo")
        (repository / ".gitignore").write_text("*.ignored\n")
        package = Path(os.fsdecode(bytes(repository) + b"/p" + directory))
        _make(bytes(package), leaves)
        (package / "build.yml").write_text("image: p\n")
        head = commit(repository)
        _change(package, how, next(iter(leaves)))
        inside = os.fsdecode(b"p" + directory)
        tree = git(repository, "rev-parse", f"{head}:{inside}").decode()
        status = git(repository, "--literal-pathspecs", "status", "--porcelain", "-uall", "--", inside)
        (found,) = read_packages([str(package)], TagOptions())
    assert found.dirty == bool(status)
    assert (
        found.reference.tag == tree if not status else str(found.reference.tag).startswith(f"{tree}-dirty-")
    )
