"""`farm pkg show-tag` prints the same as the real `linuxkit pkg show-tag`, in every spelling of its flags."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.farm_command import FARM
from tests.support.git_repos import do, make_repository

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


def _show_tag(directory: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("FARM_", "LINUXKIT_"))}
    return subprocess.run(
        [FARM, "pkg", "show-tag", *words],
        cwd=directory,
        env={**clean, "FARM_CONFIG": os.devnull, "USER": "wombat"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _old(word: str) -> str:
    """The spelling of 2021."""
    return re.sub(r"^--(?=\w)", "-", word)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_tags_are_those_of_linuxkit_in_both_flag_spellings(
    case: dict[str, Any], original: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repo"
    shutil.copytree(original, repository, symlinks=True)
    do(repository, case["do"])
    for words in (case["argv"], [_old(word) for word in case["argv"]]):
        answer = _show_tag(repository / case["cwd"], words)
        if case["name"] in BETTER:
            assert answer.stdout.startswith(BETTER[case["name"]])
        elif case["expect"]["exit"] == "error":
            assert (answer.returncode != 0, answer.stdout) == (True, "")
        else:
            assert (answer.returncode, answer.stdout) == (0, case["expect"]["stdout"])


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
def test_flags_may_precede_the_verb_and_linuxkits_own_may_precede_pkg(original: Path, words: str) -> None:
    before = _show_tag(original, ["--org", "other", "pkg/plain"])
    clean = {**os.environ, "FARM_CONFIG": os.devnull}
    after = subprocess.run(
        [FARM, *words.split(), "pkg/plain"],
        cwd=original,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (after.stdout, after.returncode) == (before.stdout, 0)
    assert after.stdout.startswith("other/plain:")


def test_each_directory_has_its_own_line_whatever_the_others_are(original: Path) -> None:
    lines = [_show_tag(original, [package]).stdout for package in ("pkg/plain", "pkg/templ", "pkg/plain")]
    assert _show_tag(original, ["pkg/plain", "pkg/templ", "pkg/plain"]).stdout == "".join(lines)
