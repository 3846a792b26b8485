"""Processes of the private farm: their command lines, how they end, and which error that is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.errors import FarmError
from farm.private_farm.child_processes import (
    Child,
    redis_child,
    stop,
    why_ended,
    worker_child,
    worker_command,
)
from farm.private_farm.state_directory import StateDirectory
from farm.system.programs import stop_with_parent
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    NewChild = Callable[[str], Child]


@pytest.fixture
def new_child(tmp_path: Path) -> Iterator[NewChild]:
    """A function that starts children that run a line of shell; none outlives the test."""
    made: list[Child] = []

    def make(line: str) -> Child:
        name = f"child{len(made)}"
        made.append(Child(name, ["sh", "-c", line], tmp_path / f"{name}.log", {"PATH": os.defpath}))
        made[-1].start()
        return made[-1]

    yield make
    stop(made)


def ended(child: Child) -> Child:
    """Wait until the child has ended."""
    assert child.process is not None
    child.process.wait(10)
    return child


def assert_not_started_again(child: Child) -> None:
    before = child.process
    child.revive()
    assert child.process is before


def test_the_output_of_a_child_goes_to_its_log(new_child: NewChild, tmp_path: Path) -> None:
    child = ended(new_child("echo one; echo two >&2"))
    assert child.log.read_text() == "one\ntwo\n"
    assert child.last_line() == "two"
    assert Child("c", ["true"], tmp_path / "none.log", {}).last_line() == ""


def test_a_child_that_ended_is_started_again_with_growing_pauses(new_child: NewChild) -> None:
    child = ended(new_child("echo up"))
    child.revive()
    assert child.log.read_text().count("up") <= 2
    assert child.failures == 1
    ended(child)
    assert child.not_before > time.monotonic()
    assert_not_started_again(child)


def test_a_running_child_is_not_started_again(new_child: NewChild) -> None:
    child = new_child("exec sleep 60")
    assert_not_started_again(child)
    assert child.running


def test_stop_lets_a_child_finish_and_kills_one_that_does_not(
    new_child: NewChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    polite = new_child("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    deaf = new_child("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: all("ready" in child.log.read_text() for child in (polite, deaf)))
    stop([polite])
    assert polite.last_line() == "bye"
    assert not polite.running
    monkeypatch.setattr("farm.private_farm.child_processes.STOP_WAIT", 0.2)
    stop([deaf])
    assert deaf.process is not None
    assert deaf.process.returncode == -signal.SIGKILL


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    text = "import subprocess, sys\nprint(subprocess.Popen(sys.argv[1:]).pid, flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", text, *stop_with_parent(["sleep", "600"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists())


def test_the_environment_of_a_child_is_not_shown(tmp_path: Path) -> None:
    assert "hush" not in repr(Child("c", [], tmp_path, {"FARM_SIGNING_PASSPHRASE": "hush"}))


def test_the_error_of_a_worker_is_its_last_line_with_its_exit_code_or_names_its_log(
    new_child: NewChild,
) -> None:
    error = why_ended(ended(new_child("echo starting; echo 'farm worker: the key cannot be opened'; exit 4")))
    assert (error.exit_code, error.message) == (4, "the key cannot be opened")
    silent = ended(new_child("exit 77"))
    error = why_ended(silent)
    assert type(error) is FarmError
    assert "child1 ended with status 77" in error.message
    assert str(silent.log) in str(error)


def test_the_command_line_of_a_worker_has_its_role_and_no_secret() -> None:
    words = worker_command(["amd64", "arm64"], publish=False, name="w", debug=True)
    assert words[1:] == [
        "-P",
        "-m",
        "workers",
        "--arch",
        "amd64",
        "--arch",
        "arm64",
        "--name",
        "w",
        "--debug",
    ]
    publisher = worker_child(
        (), publish=True, logs=Path("/logs"), environment={"FARM_BROKER": "redis://:hush@h"}
    )
    assert "hush" not in " ".join(publisher.command)
    assert publisher.log == Path("/logs/publisher.log")


def test_without_redis_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match="redis-server is not installed"):
        redis_child(StateDirectory(tmp_path))


def test_the_private_redis_listens_on_no_port(tmp_path: Path) -> None:
    words = " ".join(redis_child(StateDirectory(tmp_path)).command)
    assert "--port 0" in words
    assert "--unixsocketperm 700" in words
