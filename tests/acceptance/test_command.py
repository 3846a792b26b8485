"""The command itself: help, imports, Ctrl-C, detaching, cancelling, completion."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import closing
from io import StringIO

import pexpect
import pytest

from farm.cli.main import VERBS, run
from tests.support.farm_command import BUSYBOX, FARM, Workspace, read_until
from tests.support.remote_farm import RemoteFarm, Sleep, ended


@pytest.fixture(scope="module")
def workspace(lasting: Workspace) -> Workspace:
    """A package, and others whose builds the test finishes."""
    lasting.write("left")
    return lasting


def slow(workspace: Workspace, package: str) -> Sleep:
    """Add a package whose build lasts until the test finishes it."""
    sleep = Sleep()
    workspace.write(
        package,
        Dockerfile=f"{BUSYBOX}RUN {sleep.command}\n",
        arches="amd64",
    )
    return sleep


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    explained = capsys.readouterr().out
    assert explained.startswith(f"Usage: farm {verb}")
    assert len(explained.splitlines()) > 5


def test_the_command_lists_its_verbs_and_exit_codes(workspace: Workspace) -> None:
    answer = workspace.done("--help")
    assert all(verb in answer.out for verb in VERBS)
    assert "130" in answer.out


CLIENTS = {"celery", "kombu", "redis", "docker", "urllib3", "rich", "pexpect"}
BEYOND_TAGS = {"hashlib", "json", "logging", "concurrent.futures", "random", "shutil", "tempfile"}
"""What the tag of a clean package of one tree does without: 20 ms of a command that takes 100."""
NOT_LOADED = {
    "--help": CLIENTS,
    "completion bash": CLIENTS,
    "doctor --settings": CLIENTS,
    "show-tag left": CLIENTS | BEYOND_TAGS,
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
    assert workspace.modules_of(*words.split()) & NOT_LOADED[words] == set()


def test_ctrl_c_does_not_end_the_run_and_prints_how_to_follow_or_cancel_it(workspace: Workspace) -> None:
    building = slow(workspace, "interrupted")
    push = workspace.start("push", "--no-sign", "interrupted")
    read_until(push, "building")
    os.killpg(push.pid, signal.SIGINT)
    out, _ = push.communicate(timeout=60)
    assert push.returncode == 130
    run = re.search(r"farm status -f (r1-\w{4})   Cancel: farm cancel \1$", out, re.MULTILINE)
    assert run
    follow = workspace.start("status", "-f", run[1])
    read_until(follow, "building")
    building.finish()
    assert "published" in ended(follow, 60)


def test_every_signal_that_ends_a_live_table_restores_the_terminal_and_says_that_the_run_continues(
    workspace: Workspace,
) -> None:
    building = slow(workspace, "watched")
    run = workspace.done("push", "--no-sign", "--detach", "watched").out.strip()
    environment = workspace.environment(TERM="xterm")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        shown = StringIO()
        table = pexpect.spawn(
            FARM,
            ["status", "-f", run],
            cwd=workspace.directory,
            env=environment,
            encoding="utf-8",
            timeout=60,
        )
        table.logfile_read = shown
        table.expect("watched")
        table.kill(number)
        table.expect(pexpect.EOF)
        assert table.wait() == 128 + number
        assert shown.getvalue().rindex("\x1b[?25h") > shown.getvalue().rindex("\x1b[?25l")
        assert f"{run} continues. Follow: farm status -f {run}" in shown.getvalue()
    building.finish()


def test_a_detached_push_prints_the_run_which_continues(workspace: Workspace) -> None:
    building = slow(workspace, "apart")
    run = workspace.done("push", "--no-sign", "--detach", "apart").out.strip()
    assert run.startswith("r")
    building.finish()
    with closing(RemoteFarm(workspace, workspace.state.broker.reveal())) as farm:
        farm.await_run(run, "done")
    assert "apart" in workspace.done("plan", "--no-sign", "apart").out


def test_cancel_ends_a_running_build(workspace: Workspace) -> None:
    slow(workspace, "forever")
    push = workspace.start("push", "--no-sign", "forever")
    read_until(push, "building")
    run = workspace.done("status", "--json").json[0]["run"]
    assert "cancelled 1 package" in workspace.done("cancel", run).out
    push.communicate(timeout=30)
    assert push.returncode == 1
    assert workspace.farm("status", run, "--json").json["state"] == "cancelled"
    assert workspace.tags("forever") == []


def test_on_a_terminal_a_push_shows_a_table_with_a_cell_for_each_architecture(workspace: Workspace) -> None:
    building, shown = slow(workspace, "table"), StringIO()
    environment = workspace.environment(TERM="xterm")
    words = ["push", "--no-sign", "table"]
    push = pexpect.spawn(FARM, words, cwd=workspace.directory, env=environment, encoding="utf-8", timeout=60)
    push.logfile_read = shown
    push.expect("building")
    building.finish()
    push.expect(pexpect.EOF)
    assert push.wait() == 0
    for word in ("package", "amd64", "index", "building", "published"):
        assert word in shown.getvalue()


def test_completion_knows_the_verbs(workspace: Workspace) -> None:
    assert "_FARM_COMPLETE" in workspace.done("completion", "bash").out
    asked = workspace.environment(_FARM_COMPLETE="bash_complete", COMP_WORDS="farm show", COMP_CWORD="1")
    done = subprocess.run([FARM], env=asked, capture_output=True, text=True, timeout=60, check=False)
    assert "show-tag" in done.stdout


def test_canonical_and_json_tags_agree(workspace: Workspace) -> None:
    tag = workspace.done("show-tag", "--canonical", "left").out.strip()
    (listed,) = workspace.done("show-tag", "--json", "left").json
    assert listed["reference"] == tag == workspace.reference("left")
