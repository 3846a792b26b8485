"""The command itself: help, imports, Ctrl-C, detaching, cancelling, completion."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farm.cli.main import VERBS
from tests.support.farm_command import FARM, Workspace, read_until, wait_until

if TYPE_CHECKING:
    from tests.acceptance.conftest import NewWorkspace

SLOW = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\nRUN sleep 4; date\n"
ONE = "image: NAME\narches: [amd64]\n"


@pytest.fixture(scope="module")
def workspace(new_workspace: NewWorkspace) -> Workspace:
    """Packages that build for a few seconds."""
    made = new_workspace()
    for name in ("left", "ended", "apart", "table"):
        made.write(
            name, Dockerfile=SLOW.replace("sleep", f": {name}; sleep"), build_yml=ONE.replace("NAME", name)
        )
    return made


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(workspace: Workspace, verb: str) -> None:
    answer = workspace.done(verb, "--help")
    assert answer.out.startswith(f"Usage: farm {verb}")
    assert len(answer.out.splitlines()) > 5


def test_the_command_lists_its_verbs_and_exit_codes(workspace: Workspace) -> None:
    answer = workspace.done("--help")
    assert all(verb in answer.out for verb in VERBS)
    assert "130" in answer.out


CLIENTS = {"celery", "kombu", "redis", "docker", "urllib3", "rich", "pexpect"}
NOT_LOADED = {
    "--help": CLIENTS,
    "completion bash": CLIENTS,
    "doctor --settings": CLIENTS,
    "show-tag left": CLIENTS,
    "pkg show-tag left": CLIENTS,
    "cache ls": CLIENTS,
    "plan --no-sign left": {"celery", "kombu", "redis", "docker", "rich"},
    "pkg push -dry-run -sign=false left": {"celery", "kombu", "redis", "docker", "rich"},
    "status": CLIENTS - {"redis"},
    "workers": CLIENTS - {"redis"},
}
"""Verb to the slow modules that it must not load when its output is no terminal."""


@pytest.mark.parametrize("words", NOT_LOADED)
def test_a_verb_does_not_load_modules_that_it_does_not_need(workspace: Workspace, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", FARM, *words.split()],
        cwd=workspace.directory,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "farm.cli.main" in loaded
    assert loaded & NOT_LOADED[words] == set()


def test_ctrl_c_does_not_end_the_run_and_prints_how_to_follow_or_cancel_it(workspace: Workspace) -> None:
    push = workspace.start("push", "--no-sign", "left")
    read_until(push, "building")
    os.killpg(push.pid, signal.SIGINT)
    out, _ = push.communicate(timeout=60)
    assert push.returncode == 130
    assert "farm status -f r1" in out
    assert "farm cancel r1" in out
    assert "published" in workspace.done("status", "-f", "r1").out


def test_a_detached_push_prints_the_run_which_continues(workspace: Workspace) -> None:
    run = workspace.done("push", "--no-sign", "--detach", "apart").out.strip()
    assert run.startswith("r")
    wait_until(lambda: workspace.done("status", run, "--json").json["state"] == "done")
    assert "apart" in workspace.done("plan", "--no-sign", "apart").out


def test_cancel_ends_a_running_build(workspace: Workspace) -> None:
    workspace.write(
        "forever", Dockerfile=SLOW.replace("sleep 4", "sleep 600"), build_yml=ONE.replace("NAME", "forever")
    )
    push = workspace.start("push", "--no-sign", "forever")
    read_until(push, "building")
    run = workspace.done("status", "--json").json[0]["run"]
    assert "cancelled 1 package" in workspace.done("cancel", run).out
    push.communicate(timeout=30)
    assert push.returncode == 1
    assert workspace.farm("status", run, "--json").json["state"] == "cancelled"
    assert workspace.tags("forever") == []


def test_on_a_terminal_a_push_shows_a_table_with_a_cell_for_each_architecture(workspace: Workspace) -> None:
    leader, follower = pty.openpty()
    command = [FARM, "push", "--no-sign", "table"]
    environment = workspace.environment(TERM="xterm")
    with subprocess.Popen(
        command, cwd=workspace.directory, env=environment, stdin=follower, stdout=follower, stderr=follower
    ) as push:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        assert push.wait(60) == 0
    os.close(leader)
    text = shown.decode(errors="replace")
    for word in ("package", "amd64", "index", "building", "published"):
        assert word in text


def test_completion_knows_the_verbs(workspace: Workspace) -> None:
    assert "_FARM_COMPLETE" in workspace.done("completion", "bash").out
    asked = workspace.environment(_FARM_COMPLETE="bash_complete", COMP_WORDS="farm show", COMP_CWORD="1")
    done = subprocess.run([FARM], env=asked, capture_output=True, text=True, timeout=60, check=False)
    assert "show-tag" in done.stdout


def test_canonical_and_json_tags_agree(workspace: Workspace) -> None:
    tag = workspace.done("show-tag", "--canonical", "left").out.strip()
    assert workspace.done("show-tag", "--json", "left").json[0]["reference"] == tag
