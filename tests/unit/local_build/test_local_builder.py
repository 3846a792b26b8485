"""What a local build asks for, and when, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from farm.cache.layout import Cache
from farm.local_build import local_builder
from farm.local_build.local_builder import LocalBuilder
from farm.local_build.options import BuildOptions
from farm.package.dockerfile import base_images, dockerfiles
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from farm.settings import Settings
from tests.support.git_repos import commit_files, write
from tests.support.values import image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest


def _builder(folder: Path, lines: list[str]) -> LocalBuilder:
    return LocalBuilder(
        Settings(), Cache(folder / "cache"), cast("Any", None), report=lines.append, log=lines.append
    )


def _errors(builder: LocalBuilder, directories: Iterable[Path], **options: Any) -> list[str]:
    packages = read_packages([str(one) for one in directories], TagOptions())
    bases = base_images(packages, {}, dockerfiles(packages))
    asked = BuildOptions(("amd64",), pull=False, **options)
    return [str(done.error) for done in builder.build_all(packages, {}, bases, asked) if done.error]


def test_files_that_cannot_be_built_as_they_are_are_refused_only_where_something_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = commit_files(
        tmp_path / "repo",
        {".gitignore": "made\n", "p/build.yml": "image: p\n", "p/Dockerfile": "FROM scratch\nCOPY made /\n"},
    )
    write(top, {"p/made": ""})
    monkeypatch.setattr(local_builder, "find_image", lambda *_: image("amd64"))
    with _builder(tmp_path, []) as builder:
        assert _errors(builder, [top / "p"]) == []
        (error,) = _errors(builder, [top / "p"], force=True)
    assert "its Dockerfile copies made, but git ignores it" in error


def test_a_name_is_not_taken_from_the_cache_for_two_architectures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "FROM --platform=linux/arm64 base:1 AS other\nFROM base:1\n"
    top = commit_files(tmp_path / "repo", {"p/build.yml": "image: p\n", "p/Dockerfile": text})
    cached = {("base:1", "arm64")}
    monkeypatch.setattr(
        local_builder,
        "find_image",
        lambda _, name, arch: image(arch) if (name.familiar, arch) in cached else None,
    )
    monkeypatch.setattr(LocalBuilder, "_check", lambda *_: None)
    monkeypatch.setattr(LocalBuilder, "_build", lambda *_: image("amd64"))
    with _builder(tmp_path, []) as builder:
        (error,) = _errors(builder, [top / "p"])
        assert _errors(builder, [top / "p"], cached_bases=False) == []
        cached.clear()
        assert _errors(builder, [top / "p"]) == []
    assert "base image base:1 is needed for amd64 and arm64" in error
