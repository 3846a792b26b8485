"""`farm pkg show-tag` prints the same as the real `linuxkit pkg show-tag`, in every spelling of its flags."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm.cli.main import run
from tests.support.git_repos import do, make_repository

Farm = Callable[[Path, list[str]], tuple[int, str]]
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "show-tag.json").read_text())
BETTER = {
    "extra source changed": "linuxkit/extra:4b681f870d44d1086759eaffbc87a03b531c0472-dirty-",
    "depends from file": "linuxkit/depok:",
}
"""Cases in which the farm improves on linuxkit, and the beginning of its output."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository in which linuxkit's output was recorded."""
    return make_repository(tmp_path_factory.mktemp("vectors") / "repo", VECTORS["repo"])


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


def _old(word: str) -> str:
    """The spelling of 2021."""
    return re.sub(r"^--(?=\w)", "-", word)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_tags_are_those_of_linuxkit_in_both_flag_spellings(
    case: dict[str, Any], original: Path, tmp_path: Path, farm: Farm
) -> None:
    repository = tmp_path / "repo"
    shutil.copytree(original, repository, symlinks=True)
    do(repository, case["do"])
    for words in (case["argv"], [_old(word) for word in case["argv"]]):
        code, printed = farm(repository / case["cwd"], ["pkg", "show-tag", *words])
        if case["name"] in BETTER:
            assert printed.startswith(BETTER[case["name"]])
        elif case["expect"]["exit"] == "error":
            assert (code != 0, printed) == (True, "")
        else:
            assert (code, printed) == (0, case["expect"]["stdout"])


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
