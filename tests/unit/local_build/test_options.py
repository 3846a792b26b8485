from __future__ import annotations

import os
import socket
import tarfile
from typing import TYPE_CHECKING

import pytest

from farm.cli.build import select_arches
from farm.errors import EngineError, InputError
from farm.local_build.options import BuildOptions, refuse_foreign
from farm.model import BuildYml, ExtraSource, Package, Reference
from farm.package.pack_context import pack_dirty

if TYPE_CHECKING:
    from pathlib import Path


def test_an_architecture_that_the_engine_cannot_run_is_refused_with_a_hint() -> None:
    with pytest.raises(EngineError, match="builds for amd64, arm64, not for s390x") as caught:
        refuse_foreign("s390x", ("amd64", "arm64"))
    assert "QEMU" in str(caught.value.hint)
    refuse_foreign("arm64", ("amd64", "arm64"))


@pytest.mark.parametrize(
    ("platforms", "skipped", "expected"),
    [
        (None, None, (("amd64",), ())),
        ("linux/arm64", None, (("arm64",), ())),
        ("linux/arm64, s390x,arm64", None, (("arm64", "s390x"), ())),
        (None, "linux/arm64,s390x", ((), ("arm64", "s390x"))),
    ],
)
def test_platforms_are_named_as_linuxkit_names_them(
    platforms: str | None, skipped: str | None, expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    assert select_arches(platforms, skipped, "amd64") == expected


@pytest.mark.parametrize("platforms", ["vax", "windows/amd64", "linux/", ","])
def test_an_unknown_platform_is_refused(platforms: str) -> None:
    with pytest.raises(InputError):
        select_arches(platforms, None, "amd64")


def package(directory: Path, **yml: object) -> Package:
    build_yml = BuildYml("foo", **yml)  # type: ignore[arg-type]
    return Package(
        str(directory), build_yml, Reference("r", "o/foo", "1"), "1", str(directory), None, True, ()
    )


@pytest.mark.parametrize(
    ("options", "listed", "expected"),
    [
        (BuildOptions(), ("riscv64",), ("riscv64",)),
        (BuildOptions(), None, ("amd64", "arm64")),
        (BuildOptions(), (), ()),
        (BuildOptions(("amd64",)), ("arm64", "amd64"), ("amd64",)),
        (BuildOptions(("amd64",)), ("arm64",), ()),
        (BuildOptions(platforms=("s390x",)), ("arm64",), ("s390x",)),
        (BuildOptions(("amd64",)), (), ()),
        (BuildOptions(platforms=("s390x",)), (), ("s390x",)),
        (BuildOptions(skip=("amd64",)), None, ("arm64",)),
        (BuildOptions(skip=("s390x",)), ("riscv64",), ("riscv64",)),
        (BuildOptions(skip=("amd64",)), ("amd64",), ()),
    ],
)
def test_a_package_is_built_for_the_requested_ones_of_its_architectures(
    tmp_path: Path, options: BuildOptions, listed: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    built = package(tmp_path, arches=listed)
    assert options.arches_of(built, ("amd64", "arm64")) == expected
    skipped = not expected and (bool(options.skip) or listed == ())
    assert bool(options.skipped([built], ("amd64", "arm64"))) == skipped
    assert bool(options.unlisted(built, ("amd64", "arm64"))) == (not expected and not skipped)


def packed(directory: Path, into: Path, **yml: object) -> dict[str, tarfile.TarInfo]:
    with into.open("wb") as file:
        pack_dirty(package(directory, **yml), file)
    with tarfile.open(into) as tar:
        return {entry.name: entry for entry in tar}


def test_a_working_directory_is_packed_as_it_is(tmp_path: Path) -> None:
    top, extra = tmp_path / "foo", tmp_path / "extra"
    (top / "empty").mkdir(parents=True)
    (top / ".git").mkdir()
    (top / ".git" / "config").touch()
    (top / "run").touch(mode=0o750)
    (top / "link").symlink_to("/nowhere")
    os.link(top / "run", top / "same")
    (top / os.fsdecode(b"bad\xff")).write_text("bad")
    extra.mkdir()
    (extra / "file").write_text("extra")
    found = packed(top, tmp_path / "tar", extra_sources=(ExtraSource("../extra", "x/y"),))
    assert set(found) == {"empty", "run", "link", "same", os.fsdecode(b"bad\xff"), "x/y/file"}
    assert found["run"].mode == 0o750
    assert found["link"].linkname == "/nowhere"
    assert found["same"].isreg()
    assert (found["run"].uid, found["run"].gid, found["run"].uname) == (0, 0, "")


def test_a_file_that_a_context_cannot_contain_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "foo").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "foo" / "sock"))
        with pytest.raises(InputError, match="sock is not a file"):
            packed(tmp_path / "foo", tmp_path / "tar")
