"""What set-up downloads is cached once for all checkouts, whole or not at all, until nothing uses it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lab.cache import KEPT_DAYS, Entry, cache_directory, prune, unused

DAY = 24 * 3600.0


def _write(new: Path) -> None:
    (new / "file").write_text("content")


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    entry = Entry("thing", ("1.0",), tmp_path)
    assert not entry.exists()
    path = entry.filled(_write)
    assert entry.filled(lambda _: pytest.fail("it is there")) == path
    assert (path / "file").read_text() == "content"


def test_all_that_decides_the_content_decides_the_name(tmp_path: Path) -> None:
    decided = [("1.0",), ("1.1",), ("1", ".0"), ("1.0", ""), ()]
    assert len({Entry("thing", one, tmp_path).path for one in decided}) == len(decided)


def test_an_entry_whose_making_failed_does_not_exist_and_is_made_by_the_next(tmp_path: Path) -> None:
    entry = Entry("thing", (), tmp_path)

    def broken(new: Path) -> None:
        (new / "half").write_text("")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        entry.filled(broken)
    assert not entry.exists()
    assert [file.name for file in entry.filled(_write).iterdir()] == ["file"]


def test_two_that_need_an_entry_at_once_make_it_once(tmp_path: Path) -> None:
    entry, made = Entry("thing", (), tmp_path), []

    def slow(new: Path) -> None:
        made.append(new)
        time.sleep(0.05)
        _write(new)

    threads = [threading.Thread(target=entry.filled, args=(slow,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_what_is_used_is_kept_and_the_rest_is_removed_after_two_weeks(tmp_path: Path) -> None:
    used, old = Entry("thing", ("used",), tmp_path), Entry("thing", ("old",), tmp_path)
    for entry in (used, old):
        entry.filled(_write)
        os.utime(entry.path, (0, 0))
    assert used.exists()
    now = time.time()
    prune(tmp_path, now=now)
    assert (used.path.exists(), old.path.exists()) == (True, False)
    assert unused(tmp_path, now=now + (KEPT_DAYS - 1) * DAY) == []
    assert unused(tmp_path, now=now + (KEPT_DAYS + 1) * DAY) == [used.path]


def test_an_entry_is_new_whatever_time_its_content_was_packed(tmp_path: Path) -> None:
    def unpack(new: Path) -> None:
        os.utime(new, (0, 0))

    Entry("thing", (), tmp_path).filled(unpack)
    assert unused(tmp_path) == []


@pytest.mark.parametrize(
    ("variables", "directory"),
    [
        ({"LAB_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/linuxkit-farm-lab")),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/linuxkit-farm-lab"),
    ],
)
def test_the_cache_is_outside_of_the_checkout(variables: dict[str, str], directory: Path) -> None:
    assert cache_directory(variables) == directory
