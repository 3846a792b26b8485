"""A command where output, locale, user or git variables are unusual; real processes, without services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.farm_command import FARM
from tests.support.git_repos import commit_files, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path

FULL = "standard output cannot be written: No space left on device"
CLOSED = "standard output cannot be written: it is closed"
NOBODY = """
import pwd, sys
def getpwuid(number):
    raise KeyError(number)
pwd.getpwuid = getpwuid
from farm.cli.main import main
main()
"""
"""The command for a user who is not in /etc/passwd."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one package, p."""
    files = {"p/build.yml": "image: good\n", "p/Dockerfile": "FROM scratch\n"}
    return commit_files(tmp_path_factory.mktemp("repository"), files)


def shell(script: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script of bash, in which $farm is the command; returns the status of a pipe's failed part."""
    environment = {**os.environ, "HOME": str(directory), "farm": FARM, **variables}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def tag(repository: Path, directory: str = "p") -> str:
    """The tag of a package without changes, by git."""
    return f"linuxkit/good:{git(repository, 'rev-parse', f'HEAD:{directory}').decode()}\n"


@pytest.mark.parametrize(
    ("words", "where", "why"),
    [
        ("show-tag p", ">/dev/full", FULL),
        ("show-tag --json p", ">/dev/full", FULL),
        ("--help", ">/dev/full", FULL),
        ("show-tag --json p", ">&-", CLOSED),
    ],
)
def test_output_that_cannot_be_written_is_an_error_in_one_line(
    repository: Path, words: str, where: str, why: str
) -> None:
    done = shell(f"$farm {words} {where}", repository)
    assert (done.returncode, done.stderr) == (1, f"farm: {why}\n")


@pytest.mark.parametrize("words", ["show-tag --json p", "--help"])
def test_a_reader_that_has_ended_is_no_error_to_print(repository: Path, words: str) -> None:
    done = shell(f"$farm {words} | true", repository)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("where", [">/dev/full", ">&-", "| true"])
def test_an_error_keeps_its_exit_code_if_standard_output_cannot_take_it(repository: Path, where: str) -> None:
    done = shell(f"$farm show-tag --json q {where}", repository)
    assert (done.returncode, done.stderr) == (2, "farm: q: no such directory\n")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_a_standard_error_that_cannot_be_written_changes_no_result(repository: Path, where: str) -> None:
    assert shell(f"$farm show-tag q {where}", repository).returncode == 2


def test_paths_outside_ascii_are_found_and_printed_in_every_locale(tmp_path: Path) -> None:
    """As git and docker do it: a path is bytes, and what is printed is UTF-8."""
    repository = tmp_path / "pkä"
    yml = "image: good\ndockerfile: Dockerfile.ä\nextra-sources: ['../ü:x']\n"
    commit_files(repository, {"p/build.yml": yml, "p/Dockerfile.ä": "FROM scratch\n", "ü/file": ""})
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    answers = {
        shell("$farm show-tag --json pkä/p", tmp_path, **variables).stdout
        for variables in (ascii_only, {"LC_ALL": "C.UTF-8"})
    }
    (answer,) = map(json.loads, answers)
    assert (answer[0]["directory"], answer[0]["dirty"]) == ("pkä/p", False)


def test_a_path_that_is_not_utf8_is_found_and_json_remains_valid(tmp_path: Path) -> None:
    make_repository(tmp_path)
    write(tmp_path, {"b\udce4/build.yml": "image: good\n", "b\udce4/Dockerfile": "FROM scratch\n"})
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "change")
    done = shell("$farm show-tag --json b$'\\xe4'", tmp_path)
    assert json.loads(done.stdout)[0]["directory"] == "b\udce4"


@pytest.mark.parametrize("words", [("show-tag", "p"), ("cache", "ls", "--cache", "~/cache"), ("plan", "p")])
def test_a_user_without_home_and_without_a_name_can_use_the_farm(
    repository: Path, words: tuple[str, ...]
) -> None:
    """OpenShift gives a container a user ID that its /etc/passwd does not have."""
    broken = {"FARM_REGISTRY_CA": "/nonexistent"}  # plan ends before it asks a registry
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, *words],
        cwd=repository,
        env={"PATH": os.environ["PATH"], **broken},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "internal error" not in done.stderr
    assert done.returncode == (2 if words[0] == "plan" else 0)


def test_a_hook_of_one_repository_gets_the_tags_of_another(repository: Path, tmp_path: Path) -> None:
    """Git tells its hooks in variables which repository, index and objects theirs is."""
    make_repository(tmp_path)
    hook = tmp_path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec {FARM} show-tag {repository}/p >{tmp_path}/answer\n")
    hook.chmod(0o755)
    write(tmp_path, {"file": ""})
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "change", "file")
    assert (tmp_path / "answer").read_text() == tag(repository)


def test_no_variable_of_another_repository_changes_a_tag(repository: Path, tmp_path: Path) -> None:
    names = git(repository, "rev-parse", "--local-env-vars").decode().split()
    variables = {name: str(tmp_path) for name in names if "CONFIG" not in name}
    pathspecs = {f"GIT_{kind}_PATHSPECS": "1" for kind in ("LITERAL", "GLOB", "ICASE")}
    done = shell("$farm show-tag p", repository, **variables, **pathspecs, GIT_ATTR_SOURCE="main")
    assert (done.stdout, done.stderr) == (tag(repository), "")


def test_a_repository_that_the_callers_configuration_allows_is_read(repository: Path) -> None:
    """GIT_CONFIG_* are the user's, and may have safe.directory."""
    variables = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    foreign = {**variables, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    assert shell("$farm show-tag p", repository, **foreign).stdout == tag(repository)
