"""The LinuxKit cache under many writers at once, and under kill -9."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from farm.cache.layout import Cache
from farm.cache.maintenance import verify
from farm.cache.named_images import add_images, find_image
from farm.model import Reference
from tests.support.images import add, tar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess
    from pathlib import Path

FORK = multiprocessing.get_context("fork")
ARCHES = ("amd64", "arm64", "s390x", "riscv64")
SHARED = Reference.parse("linuxkit/shared:1")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", lock_timeout=60)


def layers(text: str) -> list[bytes]:
    return [tar({"file": text.encode()})]


def write_arches(root: Path, number: int, count: int) -> None:
    """Add `count` images under a name of its own and one architecture under a shared one."""
    cache = Cache(root, lock_timeout=120)
    for turn in range(count):
        name = Reference.parse(f"linuxkit/own{number}:{turn}")
        add_images(cache, name, [add(cache, layers(f"{number} {turn}"), name=name)])
    add_images(cache, SHARED, [add(cache, layers(f"shared {ARCHES[number]}"), ARCHES[number], SHARED)])


@pytest.mark.parametrize(("kind", "count"), [(FORK.Process, 10), (threading.Thread, 3)])
def test_processes_or_threads_that_write_at_once_lose_nothing(
    cache: Cache, kind: Callable[..., BaseProcess | threading.Thread], count: int
) -> None:
    """linuxkit#4131: parallel builds of one cache lost images and left index.json in pieces."""
    writers = [kind(target=write_arches, args=(cache.root, number, count)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(240)
        assert getattr(writer, "exitcode", 0) == 0
    assert len(cache.names()) == 4 * count * 2 + 1 + 4
    assert all(find_image(cache, SHARED, arch) for arch in ARCHES)
    assert verify(cache) == []


def write_for_ever(root: Path, seed: int) -> None:
    cache = Cache(root, lock_timeout=60)
    for turn in range(100_000):
        name = Reference.parse(f"linuxkit/n{turn % 7}:1")
        arch = ("amd64", "arm64")[turn % 2]
        add_images(cache, name, [add(cache, layers(f"{seed} {turn}"), arch, name)])


def test_a_cache_whose_writer_is_killed_a_hundred_times_is_always_whole(cache: Cache) -> None:
    """After a kill at a random point, the cache is readable, every byte is right, and no name is lost."""
    numbers = random.Random()
    known: set[str] = set()
    for turn in range(100):
        process = FORK.Process(target=write_for_ever, args=(cache.root, turn))
        process.start()
        process.join(numbers.uniform(0.0, 0.1))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        names = cache.names()
        assert known <= set(names)
        known = set(names)
        assert verify(cache) == []
    assert len(known) > 2
