"""What others write reaches terminals and logs as words: it moves no cursor and begins no line."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from farm.cli.output import print_error, print_json, print_note, print_warnings, say
from farm.cli.tables import Cell, Table, print_table, rich_table
from farm.errors import InputError
from farm.model import JobState
from farm.state import runs
from farm.state.logs import LogWriter
from farm.state.records import JobPatch
from farm.state.run_handles import RunHandle
from farm.state.transitions import move_job
from farm.syntax.log_format import SafeFormatter
from tests.integration.state.conftest import redis_url, store
from tests.support.farm_command import FARM, answer_of, environment_without_farm
from tests.support.git_repos import commit_files
from tests.support.values import ordered, run_of, work

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from farm.state.store import Store

__all__ = ["redis_url", "store"]

EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egpj.exe\u2066\u200b\n1.0s  forged: signed"
UNSAFE = ("\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066", "\u200b")
SHOWN = r"\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egpj.exe\u2066\u200b\n1.0s  forged: signed"


def assert_safe(text: str, *, lines: int = 1) -> None:
    assert not [character for character in UNSAFE if character in text]
    assert text.count("\n") == lines


def test_whatever_a_verb_prints_is_one_line_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    print_note(EVIL)
    print_warnings([EVIL])
    print_error(InputError(EVIL, hint=EVIL))
    out, err = capsys.readouterr()
    assert out == f"{SHOWN}\n"
    assert_safe(err, lines=3)


def test_the_cells_and_the_title_of_a_table_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table((EVIL,), ((Cell(EVIL),),), title=f"{EVIL}[red]")
    print_table(table)
    assert_safe(capsys.readouterr().out, lines=3)
    console = Console(width=400, force_terminal=False)
    with console.capture() as capture:
        console.print(rich_table(Table(("a",), ((Cell(EVIL),),), title=f"{EVIL}[red]")))
    assert SHOWN in capture.get()
    assert "[red]" in capture.get()
    assert not [character for character in UNSAFE if character in capture.get()]


def test_json_has_the_same_value_and_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({EVIL: [EVIL]})
    out = capsys.readouterr().out
    assert json.loads(out) == {EVIL: [EVIL]}
    assert not [character for character in UNSAFE if character in out]


def test_an_error_of_the_command_line_itself_is_words(tmp_path: Path) -> None:
    """Click prints those, and Python the traceback of --debug."""
    for words in ([f"--{EVIL}"], [f"status{EVIL}"], ["--debug", "show-tag", EVIL]):
        done = answer_of([FARM, *words], environment_without_farm(), tmp_path)
        assert done.code == 2
        assert not [character for character in UNSAFE if character in done.err]


def test_words_of_a_build_yml_are_words(tmp_path: Path) -> None:
    escaped = json.dumps(EVIL)
    for text in (f"image: {escaped}\n", f"{escaped}: 1\n", f"image: a\narches: [{escaped}]\n"):
        repository = commit_files(tmp_path / "r", {"p/build.yml": text, "p/Dockerfile": "FROM scratch\n"})
        done = answer_of([FARM, "show-tag", "p"], environment_without_farm(), repository)
        assert done.code == 2
        assert_safe(done.err)


def test_the_log_of_a_build_and_the_names_in_redis_are_words(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    """Whoever writes to Redis, or runs a step of a Dockerfile, writes these."""
    runs.create_run(store, ordered(replace(run_of(work("linuxkit/foo", "amd64")), submitter=EVIL)))
    job = RunHandle(store, "r1").package("linuxkit/foo").job("amd64")
    assert move_job(job, JobState.LEASED, JobPatch(token="1 w", worker=EVIL))
    writer = LogWriter(job, token="1 w", keep=600)
    writer.write(EVIL)
    writer.close()
    environment = environment_without_farm() | {"FARM_BROKER": redis_url}
    for words in (["logs", "r1", "foo", "amd64"], ["status"], ["status", "r1"], ["status", "--json"]):
        done = answer_of([FARM, *words], environment, tmp_path)
        assert (done.err, not done.out) == ("", False)
        assert not [character for character in UNSAFE if character in done.out]
    assert answer_of([FARM, "logs", "r1", "foo", "amd64"], environment, tmp_path).out == f"{SHOWN}\n"


def test_a_record_of_a_log_is_one_line_and_only_a_traceback_has_more() -> None:
    record = logging.LogRecord("farm", logging.WARNING, "f", 1, "the registry said %s", (EVIL,), None)
    line = SafeFormatter("%(levelname)s %(message)s").format(record)
    assert line == f"WARNING the registry said {SHOWN}"
    record.exc_info = (ValueError, ValueError(EVIL), None)
    text = SafeFormatter("%(message)s").format(record)
    assert not [character for character in UNSAFE if character in text]
    assert "\nValueError: " in text


def test_bytes_of_a_registry_are_exact_in_a_pipe_and_words_on_a_terminal() -> None:
    script = f"from farm.cli.output import print_bytes\nprint_bytes({EVIL.encode()!r})\n"
    python = [sys.executable, "-c", script]
    assert subprocess.run(python, capture_output=True, check=True).stdout == EVIL.encode()
    leader, follower = pty.openpty()
    subprocess.run(python, stdout=follower, check=True)
    os.close(follower)
    shown = os.read(leader, 4096).decode()
    os.close(leader)
    assert not [character for character in UNSAFE if character in shown.replace("\r\n", "\n")]


def test_a_login_in_the_url_of_an_engine_is_in_no_error(tmp_path: Path) -> None:
    for url in ("tcp://user:hush@127.0.0.1:1", "ssh://user:hush@host"):
        environment = environment_without_farm() | {"FARM_ENGINE": url, "HOME": str(tmp_path)}
        done = answer_of([FARM, "pkg", "builder", "du"], environment, tmp_path)
        assert done.code
        assert "://***@" in done.err
        assert "hush" not in done.err
