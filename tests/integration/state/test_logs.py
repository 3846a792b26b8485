"""Logs: stored in the background, read while they grow, bounded, and no burden on a build."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from farm.model import JobState
from farm.settings import Secret
from farm.state import runs, transitions
from farm.state.logs import MOST_LINES, LogWriter, follow_log, log_key, read_log
from farm.state.store import Store
from tests.support.farm_command import wait_until
from tests.support.values import run_of, work

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB = ("r1", "linuxkit/foo", "amd64")
FIRST, SECOND = "1 a@test", "2 b@test"
"""Tokens of two holders of the job, one after the other."""


@pytest.fixture(autouse=True)
def run(store: Store) -> None:
    """The run whose builds write."""
    runs.create_run(store, run_of(work("linuxkit/foo", "amd64", "arm64")))


def take(store: Store, token: str = FIRST, *, keep: float = 600) -> LogWriter:
    """Take the job in hand; returns the holder's writer."""
    assert transitions.move_job(store, *JOB, JobState.LEASED, token=token)
    return LogWriter(store, *JOB, token=token, keep=keep)


@pytest.fixture
def writer(store: Store) -> Iterator[LogWriter]:
    writer = take(store)
    yield writer
    writer.close()


def test_lines_are_read_while_they_are_written_and_all_of_them_after_the_end(
    store: Store, writer: LogWriter
) -> None:
    writer.write("one")
    wait_until(lambda: read_log(store, *JOB) == ["one"])
    writer.write("two: é \x1b[0m")
    writer.close()
    assert read_log(store, *JOB) == ["one", "two: é \x1b[0m"]


@pytest.mark.parametrize("ended", [False, True])
def test_the_last_lines_are_as_many_as_asked_for(store: Store, writer: LogWriter, ended: bool) -> None:
    for number in range(10):
        writer.write(str(number))
    wait_until(lambda: len(read_log(store, *JOB)) == 10)
    if ended:
        writer.close()
    assert read_log(store, *JOB, last=3) == ["7", "8", "9"]
    assert len(read_log(store, *JOB, last=100)) == 10


def test_a_log_that_is_not_there_has_no_lines(store: Store) -> None:
    assert read_log(store, *JOB) == []


def test_a_job_that_is_built_again_begins_a_new_log(store: Store, writer: LogWriter) -> None:
    writer.write("first try")
    writer.close()
    again = take(store, SECOND)
    again.write("second try")
    again.close()
    assert read_log(store, *JOB) == ["second try"]


def test_a_holder_that_says_nothing_leaves_the_log_as_it_was(store: Store, writer: LogWriter) -> None:
    writer.write("what the build said")
    writer.close()
    take(store, SECOND).close()
    assert read_log(store, *JOB) == ["what the build said"]


def test_a_holder_that_lost_the_job_adds_no_line_and_no_end(
    store: Store, writer: LogWriter, caplog: pytest.LogCaptureFixture
) -> None:
    writer.write("while it was mine")
    wait_until(lambda: read_log(store, *JOB) == ["while it was mine"])
    other = take(store, SECOND)
    other.write("the other's")
    wait_until(lambda: read_log(store, *JOB) == ["the other's"])
    writer.write("too late")
    writer.close()
    other.write("goes on")
    wait_until(lambda: len(read_log(store, *JOB)) > 1)
    assert read_log(store, *JOB) == ["the other's", "goes on"]
    assert store.text.xlen(log_key(*JOB)) == 2, "no end but its own"
    assert "was taken over" in caplog.text
    other.close()


def test_a_job_that_went_back_to_its_queue_takes_no_line_of_who_had_it(
    store: Store, writer: LogWriter
) -> None:
    transitions.move_job(store, *JOB, JobState.QUEUED, token="")
    writer.write("too late")
    writer.close()
    assert read_log(store, *JOB) == []


def test_the_lines_of_a_build_that_was_cancelled_are_kept(store: Store, writer: LogWriter) -> None:
    transitions.move_job(store, *JOB, JobState.CANCELLED)
    writer.write("the last one")
    writer.close()
    assert read_log(store, *JOB) == ["the last one"]


def test_who_follows_sees_every_line_and_the_end(store: Store, writer: LogWriter) -> None:
    def write() -> None:
        for number in range(1200):
            writer.write(str(number))
        transitions.move_job(store, *JOB, JobState.FAILED)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    lines = [line for line in follow_log(store, *JOB) if line is not None]
    thread.join()
    assert lines == [str(number) for number in range(1200)]


def test_who_follows_stays_while_the_job_goes_on_in_other_hands(store: Store, writer: LogWriter) -> None:
    following = follow_log(store, *JOB)
    writer.write("one")
    writer.close()
    seen = [next(following) for _ in range(3)]
    assert [line for line in seen if line] == ["one"]
    second = take(store, SECOND)
    second.write("two")
    second.close()
    assert next(line for line in following if line) == "two"
    transitions.move_job(store, *JOB, JobState.EXISTS)
    assert [line for line in following if line] == []


def test_the_end_of_an_earlier_holder_is_not_that_of_a_job_that_has_ended_since(
    store: Store, writer: LogWriter
) -> None:
    following = follow_log(store, *JOB)
    writer.write("one")
    writer.close()
    assert next(following) == "one"
    second = take(store, SECOND)
    second.write("two")
    transitions.move_job(store, *JOB, JobState.FAILED)
    second.close()
    assert [line for line in following if line] == ["two"]


@pytest.mark.parametrize("end", [JobState.EXISTS, JobState.CANCELLED])
def test_who_follows_a_job_that_ends_without_a_word_is_not_kept_waiting(store: Store, end: JobState) -> None:
    following = follow_log(store, *JOB)
    assert next(following) is None
    transitions.move_job(store, *JOB, end)
    assert list(following) == []


def test_a_log_keeps_its_newest_lines_only(store: Store, writer: LogWriter) -> None:
    for at in range(0, MOST_LINES + 3000, 1000):
        for number in range(at, at + 1000):
            writer.write(str(number))
        wait_until(lambda: read_log(store, *JOB, last=1) == [str(at + 999)])  # noqa: B023 - asked at once
    lines = read_log(store, *JOB)
    assert MOST_LINES <= len(lines) < MOST_LINES + 1000
    assert lines[-1] == str(MOST_LINES + 2999)


def test_a_log_does_not_outlive_its_time(store: Store) -> None:
    writer = take(store, keep=1)
    writer.write("soon gone")
    writer.close()
    wait_until(lambda: read_log(store, *JOB) == [])


def test_a_redis_that_does_not_answer_delays_no_line_and_not_the_end_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farm.state.logs.LAST_WAIT", 0.5)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(Secret(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"), timeout=0.1)
        writer = LogWriter(store, *JOB, token=FIRST, keep=600)
        # More than it holds, so that some are dropped.
        for number in range(2 * MOST_LINES):
            writer.write(str(number))
        begun = time.monotonic()
        writer.close()
        assert time.monotonic() - begun < 10
        wait_until(lambda: set(threading.enumerate()) <= before)
    store.close()


def test_jobs_of_a_run_have_logs_of_their_own(store: Store, writer: LogWriter) -> None:
    writer.write("amd64's")
    wait_until(lambda: read_log(store, *JOB) == ["amd64's"])
    assert read_log(store, "r1", "linuxkit/foo", "arm64") == []
