"""Whatever a package holds and whatever is changed in it, its tag says what git says."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from tests.property.package.trees import NAMES, trees
from tests.support.git_repos import git, make_repository

if TYPE_CHECKING:
    from collections.abc import Iterable

Leaves = dict[bytes, tuple[int, bytes]]
"""Path to mode and content; mode 0 for a symbolic link."""

_LEAVES = st.one_of(
    st.tuples(st.sampled_from([0o644, 0o755]), st.binary(max_size=20)),
    st.tuples(st.just(0), st.sampled_from([b"nowhere", b"..", b"/etc", b"build.yml", b"\xff"])),
)
_TREES = trees(NAMES, _LEAVES)
_FILE: dict[str, Any] = {"own": {b"a": (0o644, b"")}, "extra": None, "in_extra": False, "staged": False}
_CHANGES = ("none", "write", "remove", "mode", "retarget", "turn", "add", "ignored", "elsewhere")


def _make(folder: bytes, leaves: Leaves) -> None:
    for name, (mode, content) in leaves.items():
        path = Path(os.fsdecode(folder + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode:
            path.write_bytes(content)
            path.chmod(mode)
        else:
            path.symlink_to(os.fsdecode(content))


def _change(folder: bytes, how: str, name: bytes) -> None:
    """Change something of a package or an extra source, or beside it."""
    path = Path(os.fsdecode(folder + b"/" + name))
    if how == "write" and not path.is_symlink():
        path.write_bytes(b"something else, and longer than before")
    elif how == "remove":
        path.unlink()
    elif how == "mode" and not path.is_symlink():
        path.chmod(path.stat().st_mode ^ 0o111)
    elif how == "retarget" and path.is_symlink():
        path.unlink()
        path.symlink_to("elsewhere")
    elif how == "turn":
        _turn(path)
    elif how in ("add", "ignored"):
        for place in (path.parent, path.parent / "new", Path(os.fsdecode(folder))):
            place.mkdir(exist_ok=True)
            (place / f"more.{how}").write_text("more")
    elif how == "elsewhere":
        Path(os.fsdecode(folder + b"beside")).write_text("more")


def _turn(path: Path) -> None:
    """A link becomes a directory with a file, a file a link."""
    link = path.is_symlink()
    path.unlink()
    if link:
        path.mkdir()
        (path / "inside").write_text("inside")
    else:
        path.symlink_to("turned")


def _listed(repository: Path, place: str, *options: str) -> list[tuple[bytes, bool]]:
    """The paths that git lists in a directory, in its order, and whether it quotes each."""
    command = ["--literal-pathspecs", "ls-files", *options]
    paths = git(repository, *command, "-z", "--", place).split(b"\0")[:-1]
    lines = git(repository, *command, "--", place).splitlines() if paths else []
    return [(path, line.startswith(b'"')) for path, line in zip(paths, lines, strict=True)]


def _digits(repository: Path, places: Iterable[str]) -> str:
    """The digits of a dirty tag: of each place the tracked files in git's order, then the untracked ones.

    LinuxKit passes over links, and over names that git quotes; here they count where they are changed.
    """
    changed = set(git(repository, "diff", "--name-only", "--no-renames", "-z", "HEAD").split(b"\0"))
    summary = hashlib.sha256()
    for place in places:
        untracked = _listed(repository, place, "-o", "--exclude-standard")
        changed |= {path for path, _ in untracked}
        for path, quoted in _listed(repository, place) + untracked:
            file = Path(os.fsdecode(bytes(repository) + b"/" + path))
            if file.is_symlink():
                summary.update(os.fsencode(file.readlink()) if path in changed else b"")
            elif file.is_file() and (path in changed or not quoted):
                summary.update(file.read_bytes())
    return summary.hexdigest()[:7]


def _tag(repository: Path, places: list[str]) -> str:
    """The tag of a package and its extra sources, as git alone has it."""
    trees = git(repository, "rev-parse", *(f"HEAD:{place}" for place in places)).decode().splitlines()
    joined = hashlib.sha1("".join(trees).encode()).hexdigest()
    clean = joined if len(trees) > 1 else trees[0]
    status = ("--literal-pathspecs", "status", "--porcelain", "-uall", "--")
    changed = [place for place in places if git(repository, *status, place)]
    if not changed:
        return clean
    # The package's own files count in any case, an extra source's where it is changed.
    return f"{clean}-dirty-{_digits(repository, dict.fromkeys([places[0], *changed]))}"


@settings(max_examples=40, deadline=None)
@given(
    own=_TREES,
    extra=st.none() | _TREES,
    directory=NAMES.filter(lambda name: b"\n" not in name),
    how=st.sampled_from(_CHANGES),
    in_extra=st.booleans(),
    staged=st.booleans(),
)
@example(**_FILE, directory=b"\r", how="write")
@example(**_FILE, directory=b"\x0b\xe2\x80\xa8", how="none")
def test_a_tag_is_the_tree_hash_of_git_and_dirty_if_git_says_so(
    own: Leaves, extra: Leaves | None, directory: bytes, how: str, *, in_extra: bool, staged: bool
) -> None:
    with tempfile.TemporaryDirectory() as home:
        repository = make_repository(Path(os.fsdecode(home.encode() + b"/r" + directory)))
        (repository / ".gitignore").write_text("*.ignored\n")
        package, source = bytes(repository) + b"/p" + directory, bytes(repository) + b"/s"
        _make(package, own)
        _make(source, extra or {})
        place = os.fsdecode(b"p" + directory)
        sources = "extra-sources: ['../s:extra']\n" if extra else ""
        (repository / place / "build.yml").write_text(f"image: p\n{sources}")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "all")
        changed = (source, extra) if in_extra and extra else (package, own)
        _change(changed[0], how, next(iter(changed[1])))
        if staged:
            git(repository, "add", "-A")
        (found,) = read_packages([str(repository / place)], TagOptions())
        assert found.reference.tag == _tag(repository, [place, *(["s"] if extra else [])])
        assert found.dirty == ("-dirty-" in str(found.reference.tag))
