"""Free space on the engine's disk, on a real engine whose disk is small."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from farm.builders.builder import BuildSpec
from farm.builders.docker_engine import Engine
from farm.builders.engine_images import remove_image
from farm.builders.pruning import free_space
from farm.errors import DiskFullError, DiskTooSmallError, EngineError
from farm.model import Reference
from farm.settings import Secret, Settings
from farm.state import leases
from tasks.disk_space import DiskSpace
from tasks.worker_context import SharedFlag, WorkerContext
from tests.integration.builders.conftest import Bench, open_bench
from tests.support.engines import another_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.state.store import Store
    from lab.lab import Lab

MIB = 1 << 20
_numbers = itertools.count()


@pytest.fixture(scope="module")
def small_engine(lab: Lab) -> Iterator[Engine]:
    """An engine with a disk of 200 MiB."""
    del lab
    with another_engine(size="200m") as located, Engine.connect(located.address, timeout=30.0) as engine:
        yield engine


@pytest.fixture
def bench(small_engine: Engine, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A bench on it."""
    with open_bench(lab, small_engine.url, tmp_path) as bench:
        yield bench


@pytest.fixture
def disk_space(small_engine: Engine, lab: Lab) -> Iterator[Callable[[int], DiskSpace]]:
    """Make a DiskSpace whose engine counts as full below so many free bytes."""
    stores: list[Store] = []

    def make(disk_free: int = 0) -> DiskSpace:
        settings = Settings(
            broker=Secret(lab.redis_url), engine=small_engine.url, disk_free=disk_free, cache_keep=0
        )
        context = WorkerContext(settings, "worker@test", SharedFlag())
        stores.append(context.store)
        return DiskSpace(context, small_engine, small_engine.info())

    yield make
    for store in stores:
        store.close()


def noise(mebibytes: int) -> str:
    """A Dockerfile whose build writes so much, with different bytes each time."""
    return f"FROM BASE\nRUN echo {next(_numbers)}; dd if=/dev/urandom of=/noise bs=1M count={mebibytes}\n"


def leave_cache(bench: Bench, mebibytes: int) -> None:
    """Build, and remove the image again, as after a push."""
    image = name()
    bench.build(noise(mebibytes), BuildSpec("amd64"), name=image)
    remove_image(bench.engine, image)


def name() -> Reference:
    """A name that no other test uses."""
    return Reference.parse(f"localhost:1/room/t{next(_numbers)}:{'0' * 40}-amd64")


def holds(engine: Engine, reference: Reference) -> bool:
    """Whether an engine has an image of that name."""
    try:
        engine.inspect(str(reference))
    except EngineError:
        return False
    return True


def test_a_build_that_fills_the_disk_is_repeated_after_a_clean_up(
    bench: Bench, disk_space: Callable[..., DiskSpace]
) -> None:
    disk = disk_space()
    reported: list[str] = []
    leave_cache(bench, 80)
    tries: list[int] = []

    def build() -> None:
        tries.append(len(tries))
        bench.build(noise(130), BuildSpec("amd64"))

    disk.build_with_room(build, name(), report=reported.append)
    assert tries == [0, 1]
    assert "disk of the Docker Engine is full" in reported[0]


def test_a_build_that_needs_more_than_the_disk_fails_for_good(
    bench: Bench, disk_space: Callable[..., DiskSpace]
) -> None:
    with pytest.raises(DiskTooSmallError, match="again after a clean-up") as caught:
        disk_space().build_with_room(lambda: _discard(bench.build(noise(400))), name(), report=lambda _: None)
    assert not caught.value.retryable


def test_cache_beyond_its_bounds_is_pruned_before_a_build(
    bench: Bench, small_engine: Engine, disk_space: Callable[..., DiskSpace]
) -> None:
    root = small_engine.info().root
    leave_cache(bench, 60)
    full = free_space(small_engine.url, root)
    disk_space().make_room()
    after = free_space(small_engine.url, root)
    assert full is not None
    assert after is not None
    assert after - full > 50 * MIB


def test_a_job_is_refused_with_the_figures_while_too_little_space_is_free(
    disk_space: Callable[..., DiskSpace],
) -> None:
    with pytest.raises(DiskFullError, match=r"^disk full: /.* MiB free, 300 MiB required") as caught:
        disk_space(300 * MIB).make_room()
    assert caught.value.retryable


def test_the_image_of_a_dead_build_is_removed_and_no_other(
    bench: Bench, small_engine: Engine, disk_space: Callable[..., DiskSpace]
) -> None:
    disk = disk_space()
    leftover, foreign = name(), name()
    for reference in (leftover, foreign):
        bench.build("FROM BASE\nRUN true\n", BuildSpec("amd64"), name=reference)
    lease = leases.take(disk.context.store, str(leftover), duration=60, holder="r1 other@test")
    with pytest.raises(RuntimeError, match="died"), disk.reserved(leftover):
        raise RuntimeError("died")
    disk.make_room()
    assert holds(small_engine, leftover), "another worker builds it"
    leases.release(disk.context.store, lease)
    disk.make_room()
    assert (holds(small_engine, leftover), holds(small_engine, foreign)) == (False, True)


def test_the_disk_of_an_engine_on_another_machine_is_not_guessed(small_engine: Engine) -> None:
    root = small_engine.info().root
    assert free_space(small_engine.url, root) is not None
    assert free_space("tcp://builder.example.org:2375", root) is None
    assert free_space(small_engine.url, "/no/such/directory") is None


def _discard(_: object) -> None:
    return None
