"""The lock is the one that `linuxkit` takes: fcntl over the whole of `.lock`."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from farm.cache.layout import locked
from farm.errors import CacheBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As linuxkit does it (util.Lock): open or create, F_SETLKW of a write lock over all.
LINUXKIT = """
import fcntl, os, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[2] == "try" else 0))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@contextmanager
def held_by_linuxkit(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LINUXKIT, str(path), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def try_as_linuxkit(path: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", LINUXKIT, str(path), "try"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


def test_linuxkit_waits_while_the_farm_holds_the_lock(path: Path) -> None:
    with locked(path, 5):
        assert not try_as_linuxkit(path)
    assert try_as_linuxkit(path)


def test_the_farm_waits_while_linuxkit_holds_the_lock_and_reports_it_after_the_timeout(
    path: Path,
) -> None:
    with held_by_linuxkit(path), pytest.raises(CacheBusyError) as caught, locked(path, 0.1):
        pass
    assert caught.value.retryable
    assert "linuxkit" in str(caught.value.hint)


def test_a_lock_is_released_when_its_holder_is_killed(path: Path) -> None:
    with held_by_linuxkit(path) as process:
        process.send_signal(signal.SIGKILL)
        with locked(path, 30):
            pass


def test_two_threads_exclude_each_other(path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with locked(path, 60):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        for running in [pool.submit(work) for _ in range(4)]:
            running.result()
    assert most == [1]


def test_readers_share_the_lock_and_exclude_a_writer(path: Path) -> None:
    path.touch()
    reading = locked(path, 1, exclusive=False)
    with reading, locked(path, 1, exclusive=False), pytest.raises(CacheBusyError), locked(path, 0.05):
        pass
