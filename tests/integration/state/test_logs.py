"""Logs: stored in the background, read while they grow, bounded, and no delay to a build."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from farm.model import JobState
from farm.settings import Secret
from farm.state import runs
from farm.state.logs import MAX_LINES, LogWriter, follow_log, log_key, read_log
from farm.state.records import JobPatch
from farm.state.run_handles import JobHandle, RunHandle
from farm.state.store import Store
from farm.state.transitions import move_job
from tests.integration.state.steps import drive
from tests.support.farm_command import wait_until
from tests.support.values import ordered, run_of, work

if TYPE_CHECKING:
    from collections.abc import Iterator


FIRST, SECOND = "1 a@test", "2 b@test"
"""Tokens of two holders of the job, one after the other."""


@pytest.fixture(autouse=True)
def run(store: Store) -> None:
    """The run whose builds write."""
    runs.create_run(store, ordered(run_of(work("linuxkit/foo", "amd64", "arm64"))))


@pytest.fixture
def job(store: Store) -> JobHandle:
    """The job whose log it is."""
    return RunHandle(store, "r1").package("linuxkit/foo").job("amd64")


def take(job: JobHandle, token: str = FIRST, *, keep: float = 600) -> LogWriter:
    """Lease the job; returns the holder's writer."""
    assert move_job(job, JobState.LEASED, JobPatch(token=token))
    return LogWriter(job, token=token, keep=keep)


@pytest.fixture
def writer(job: JobHandle) -> Iterator[LogWriter]:
    writer = take(job)
    yield writer
    writer.close()


def test_lines_are_read_while_they_are_written_and_all_of_them_after_the_end(
    job: JobHandle, writer: LogWriter
) -> None:
    writer.write("one")
    wait_until(lambda: read_log(job) == ["one"])
    writer.write("two: é \x1b[0m")
    writer.close()
    assert read_log(job) == ["one", "two: é \x1b[0m"]


@pytest.mark.parametrize("ended", [False, True])
def test_the_last_lines_are_as_many_as_asked_for(job: JobHandle, writer: LogWriter, ended: bool) -> None:
    for number in range(10):
        writer.write(str(number))
    wait_until(lambda: len(read_log(job)) == 10)
    if ended:
        writer.close()
    assert read_log(job, last=3) == ["7", "8", "9"]
    assert len(read_log(job, last=100)) == 10


def test_a_holder_without_lines_leaves_the_log_as_it_was(job: JobHandle, writer: LogWriter) -> None:
    writer.write("output of the build")
    writer.close()
    take(job, SECOND).close()
    assert read_log(job) == ["output of the build"]


def test_a_holder_that_lost_the_job_adds_no_line_and_no_end(
    store: Store, job: JobHandle, writer: LogWriter, caplog: pytest.LogCaptureFixture
) -> None:
    writer.write("while it was the holder")
    wait_until(lambda: read_log(job) == ["while it was the holder"])
    other = take(job, SECOND)
    other.write("of the other holder")
    wait_until(lambda: read_log(job) == ["of the other holder"])
    writer.write("too late")
    writer.close()
    other.write("continues")
    wait_until(lambda: len(read_log(job)) > 1)
    assert read_log(job) == ["of the other holder", "continues"]
    assert store.text.xlen(log_key(job)) == 2, "no end but that of the other holder"
    assert "was taken over" in caplog.text
    other.close()


def test_the_log_of_a_job_that_went_back_to_its_queue_accepts_no_line_of_its_former_holder(
    job: JobHandle, writer: LogWriter
) -> None:
    drive(job, JobState.QUEUED, JobPatch(token=""))
    writer.write("too late")
    writer.close()
    assert read_log(job) == []


def test_the_lines_of_a_build_that_was_cancelled_are_kept(job: JobHandle, writer: LogWriter) -> None:
    drive(job, JobState.CANCELLED)
    writer.write("the last one")
    writer.close()
    assert read_log(job) == ["the last one"]


def test_a_follower_sees_every_line_and_the_end(job: JobHandle, writer: LogWriter) -> None:
    def write() -> None:
        for number in range(1200):
            writer.write(str(number))
        drive(job, JobState.FAILED)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    lines = [line for line in follow_log(job) if line is not None]
    thread.join()
    assert lines == [str(number) for number in range(1200)]


def test_a_follower_stays_while_another_holder_continues_the_job(job: JobHandle, writer: LogWriter) -> None:
    following = follow_log(job)
    writer.write("one")
    writer.close()
    seen = [next(following) for _ in range(3)]
    assert [line for line in seen if line] == ["one"]
    second = take(job, SECOND)
    second.write("two")
    second.close()
    assert next(line for line in following if line) == "two"
    drive(job, JobState.EXISTS)
    assert [line for line in following if line] == []


def test_the_end_of_an_earlier_holder_is_not_that_of_a_job_that_has_ended_since(
    job: JobHandle, writer: LogWriter
) -> None:
    following = follow_log(job)
    writer.write("one")
    writer.close()
    assert next(following) == "one"
    second = take(job, SECOND)
    second.write("two")
    drive(job, JobState.FAILED)
    second.close()
    assert [line for line in following if line] == ["two"]


@pytest.mark.parametrize("end", [JobState.EXISTS, JobState.CANCELLED])
def test_a_follower_of_a_job_that_ends_without_a_log_does_not_wait(job: JobHandle, end: JobState) -> None:
    following = follow_log(job)
    assert next(following) is None
    drive(job, end)
    assert list(following) == []


def test_a_log_keeps_its_newest_lines_only(job: JobHandle, writer: LogWriter) -> None:
    for at in range(0, MAX_LINES + 3000, 1000):
        for number in range(at, at + 1000):
            writer.write(str(number))
        wait_until(lambda: read_log(job, last=1) == [str(at + 999)])  # noqa: B023 - called at once
    lines = read_log(job)
    assert MAX_LINES <= len(lines) < MAX_LINES + 1000
    assert lines[-1] == str(MAX_LINES + 2999)


def test_a_log_expires(job: JobHandle) -> None:
    writer = take(job, keep=1)
    writer.write("soon gone")
    writer.close()
    wait_until(lambda: read_log(job) == [])


def test_the_log_says_how_many_lines_a_slow_redis_has_cost_and_where(
    store: Store, job: JobHandle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("farm.state.logs.MAX_LINES", 1000)
    writer = take(job)
    store.text.client_pause(60_000, all=False)
    writer.write("first")
    # The writer's thread now waits for Redis with this line, so what follows fills the queue only once.
    wait_until(writer._lines.empty)
    for number in range(3000):
        writer.write(str(number))
    store.text.client_unpause()
    # Not only the first line stored: the queue is full until the thread takes the next ones.
    wait_until(writer._lines.empty)
    writer.write("after it")
    writer.close()
    *_, last, gap, after = read_log(job)
    assert (gap, after) == (f"[{2999 - int(last)} lines were dropped here: Redis was too slow]", "after it")
    assert [record.message for record in caplog.records if "dropped" in record.message] == [
        f"log {log_key(job)}: {2999 - int(last)} lines were dropped, Redis is too slow"
    ]


def test_a_redis_that_does_not_answer_delays_no_line_and_the_end_only_briefly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("farm.state.logs.CLOSE_TIMEOUT", 0.5)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(Secret(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"), timeout=0.1)
        writer = LogWriter(RunHandle(store, "r1").package("linuxkit/foo").job("amd64"), token=FIRST, keep=600)
        # More lines than it buffers, so that some are dropped.
        for number in range(2 * MAX_LINES):
            writer.write(str(number))
        begun = time.monotonic()
        writer.close()
        assert time.monotonic() - begun < 10
        wait_until(lambda: set(threading.enumerate()) <= before)
    assert len(caplog.records) < 10, "not one for each line"
    store.close()


def test_each_job_of_a_run_has_its_own_log(job: JobHandle, writer: LogWriter) -> None:
    writer.write("amd64's")
    wait_until(lambda: read_log(job) == ["amd64's"])
    assert read_log(job.package.job("arm64")) == []
