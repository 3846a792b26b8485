"""`farm pkg show-tag` prints the same as the real `linuxkit pkg show-tag`, in every spelling of its flags."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.cli.main import run
from tests.support.git_repos import commit_files, git
from tests.support.show_tag import CASES, Case, originals

Farm = Callable[[Path, list[str]], tuple[int, str]]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The repositories in which linuxkit's output was recorded, by the file that holds it."""
    return originals(tmp_path_factory.mktemp("vectors"))


@pytest.fixture
def original(repositories: dict[str, Path]) -> Path:
    """The first of the repositories."""
    return repositories["show-tag"]


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Farm:
    """`farm WORDS` in a directory, without a new process; returns its exit code and what it printed."""
    for name in [name for name in os.environ if name.startswith(("FARM_", "LINUXKIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FARM_CONFIG", os.devnull)
    monkeypatch.setenv("USER", "wombat")

    def call(directory: Path, words: list[str]) -> tuple[int, str]:
        monkeypatch.chdir(directory)
        return run(words), capsys.readouterr().out

    return call


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tags_are_those_of_linuxkit_or_better(
    case: Case, repositories: dict[str, Path], tmp_path: Path, farm: Farm
) -> None:
    directory = case.prepare(repositories[case.vectors], tmp_path)
    code, printed = farm(directory, ["pkg", "show-tag", *case.facts["argv"]])
    assert case.accepts(code, printed), (code, printed, case.facts["expect"])


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.facts["do"] and case.vectors == "show-tag"],
    ids=lambda case: case.name,
)
def test_tags_are_those_of_linuxkit_in_both_flag_spellings(case: Case, original: Path, farm: Farm) -> None:
    words = [re.sub(r"^--(?=\w)", "-", word) for word in case.facts["argv"]]  # as in 2021
    code, printed = farm(original / case.facts["cwd"], ["pkg", "show-tag", *words])
    assert case.accepts(code, printed), (code, printed, case.facts["expect"])


@pytest.mark.parametrize(
    "words",
    [
        "pkg --org other show-tag",
        "pkg -q --org=other show-tag",
        "pkg -v3 -org other show-tag",
        "-q pkg --org other show-tag",
        "--cache /nowhere -v pkg show-tag -org=other",
        "-verbose=2 -mirror http://mirror --cert-file /etc/hostname pkg -org other show-tag",
    ],
)
def test_flags_may_precede_the_verb_and_linuxkits_own_may_precede_pkg(
    original: Path, words: str, farm: Farm
) -> None:
    before = farm(original, ["pkg", "show-tag", "--org", "other", "pkg/plain"])
    assert before[1].startswith("other/plain:")
    assert farm(original, [*words.split(), "pkg/plain"]) == before


def test_each_directory_has_its_own_line_whatever_the_others_are(original: Path, farm: Farm) -> None:
    words, packages = ["pkg", "show-tag"], ["pkg/plain", "pkg/templ", "pkg/plain"]
    lines = [farm(original, [*words, package])[1] for package in packages]
    assert farm(original, [*words, *packages]) == (0, "".join(lines))


def test_a_tag_does_not_depend_on_packages_that_only_a_build_needs(tmp_path: Path, farm: Farm) -> None:
    text = "image: p\nbuildArgs: ['A=@lkt:pkg:../none', '%=@lkt:pkgs:../none*', 'B=@lkt:other:x']\n"
    repository = commit_files(tmp_path, {"p/build.yml": text})
    assert farm(repository, ["show-tag", "p"]) == (0, f"linuxkit/p:{_tree(repository, 'p')}\n")


def test_a_tree_has_the_same_tag_as_its_commit_but_only_a_commit_is_built(tmp_path: Path, farm: Farm) -> None:
    repository = commit_files(tmp_path, {"p/build.yml": "image: p\n"})
    words = ["--hash-commit", "HEAD^{tree}", "p"]
    assert farm(repository, ["show-tag", *words]) == (0, f"linuxkit/p:{_tree(repository, 'p')}\n")
    assert farm(repository, ["plan", "--no-sign", *words]) == (2, "")


def _tree(repository: Path, directory: str) -> str:
    return git(repository, "rev-parse", f"HEAD:{directory}").decode()
