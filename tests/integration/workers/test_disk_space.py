"""Free space on the engine's disk, on a real engine whose disk is small."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from farm.builders.build_arguments import PACKAGE_LABEL
from farm.builders.builder import BuildSpec
from farm.builders.docker_engine import Engine
from farm.builders.engine_images import image_id, remove_image
from farm.builders.pruning import free_space, prune
from farm.errors import DiskFullError, DiskTooSmallError, EngineError
from farm.model import Reference
from farm.settings import Secret, Settings
from farm.state import leases
from tasks.disk_space import DiskSpace
from tasks.worker_context import SharedFlags, WorkerContext
from tests.integration.builders.conftest import Bench, open_bench
from tests.support.engines import another_engine
from tests.support.farm_command import wait_until

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
        context = WorkerContext(settings, "worker@test", SharedFlags())
        stores.append(context.store)
        return DiskSpace(context, small_engine, small_engine.info().root)

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
    disk = disk_space()
    leave_cache(bench, 60)
    full = free_space(disk.context.settings, root)
    disk.make_room()
    after = free_space(disk.context.settings, root)
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
    with pytest.raises(RuntimeError, match="died"), disk.reserved(leftover, built=True):
        raise RuntimeError("died")
    disk.make_room()
    assert holds(small_engine, leftover), "another worker builds it"
    leases.release(disk.context.store, lease)
    disk.make_room()
    assert (holds(small_engine, leftover), holds(small_engine, foreign)) == (False, True)


def test_an_image_that_lost_its_name_is_removed_when_it_is_old_and_of_a_package(
    bench: Bench, small_engine: Engine
) -> None:
    named = name()
    package = BuildSpec("amd64", labels=((PACKAGE_LABEL, "1"),))
    old, foreign, current = (
        made(bench, f"FROM BASE\nRUN echo {number}\n", spec, named)
        for number, spec in enumerate((package, BuildSpec("amd64"), package))
    )
    assert ids(small_engine, old, foreign, current) == {old, foreign, current}
    prune(small_engine, keep=1 << 40, age=3600)
    assert ids(small_engine, old, foreign, current) == {old, foreign, current}

    def pruned() -> bool:
        prune(small_engine, keep=1 << 40, age=0)  # the engine counts whole seconds
        return old not in ids(small_engine, old)

    wait_until(pruned)
    assert ids(small_engine, foreign, current) == {foreign, current}


def test_a_build_removes_the_image_of_one_that_died_and_keeps_that_of_its_own_first_attempt(
    bench: Bench, small_engine: Engine, disk_space: Callable[..., DiskSpace]
) -> None:
    target, disk = name(), disk_space()
    image = made(bench, "FROM BASE\nRUN echo died\n", BuildSpec("amd64"), target)
    with disk.reserved(target, built=True):
        assert ids(small_engine, image) == {image}
    with disk.reserved(target, built=False):
        assert ids(small_engine, image) == set()


def made(bench: Bench, dockerfile: str, spec: BuildSpec, reference: Reference) -> str:
    """The id of an image that was built under a name."""
    bench.build(dockerfile, spec, name=reference)
    return str(image_id(bench.engine, reference))


def ids(engine: Engine, *images: str) -> set[str]:
    """Those of these images that an engine still has, with or without a name."""
    return {one["Id"] for one in engine.api.images(all=True)} & set(images)


def _discard(_: object) -> None:
    return None
