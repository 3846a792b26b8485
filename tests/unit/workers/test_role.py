"""The role of a worker, checked before it accepts the first job."""

from __future__ import annotations

import platform
from dataclasses import replace

import pytest

from farm.errors import InputError
from farm.settings import Settings
from farm.state.workers import WorkerInfo, WorkerState, others
from workers.role import Role, check_arches, default_name, find_role


def check(*wanted: str, emulate: bool = False, emulated: tuple[str, ...] = ("arm64",)) -> None:
    """Check whether an amd64 engine may build these."""
    foreign = [arch for arch in wanted if arch != "amd64"]
    check_arches(wanted, foreign, emulated, settings=Settings(emulate=emulate), own="amd64")


def worker(*arches: str, publisher: bool) -> WorkerInfo:
    return WorkerInfo("w", arches, publisher, slots=1, engine="", host="here")


def test_an_engine_builds_its_own_architecture() -> None:
    check("amd64")


def test_a_foreign_architecture_is_emulated_only_where_that_is_enabled() -> None:
    with pytest.raises(InputError, match="this engine builds amd64 and could only emulate arm64"):
        check("amd64", "arm64")
    check("amd64", "arm64", emulate=True)


def test_an_architecture_that_the_engine_cannot_emulate_is_refused_with_what_to_install() -> None:
    with pytest.raises(InputError, match="cannot emulate s390x") as caught:
        check("s390x", emulate=True)
    assert "qemu-user-static" in str(caught.value)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="unknown architecture 'x86_64'"):
        check("x86_64", emulate=True)


def test_a_worker_consumes_only_the_queues_of_its_role() -> None:
    assert Role(worker("arm64", publisher=False)).queues == ("build.arm64",)
    assert Role(worker(publisher=True)).queues == ("publish",)
    assert Role(worker("amd64", "s390x", publisher=True)).queues == ("build.amd64", "build.s390x", "publish")


def test_another_worker_for_an_architecture_is_one_that_serves_it_with_a_key_of_its_own() -> None:
    first = replace(worker("amd64", publisher=False), key="a")
    known = [
        first,
        replace(first, name="same key"),
        replace(first, key="b", name="silent", state=WorkerState.SILENT),
        replace(first, key="b", name="drained", state=WorkerState.DRAINED),
        replace(first, key="b", name="other architecture", arches=("arm64",)),
        worker(publisher=True),
    ]
    assert others(known, "amd64", ["a"]) == []
    assert others([*known, replace(first, key="b")], "amd64", ["a"]) == [replace(first, key="b")]


def test_a_worker_describes_its_role_and_machine() -> None:
    assert default_name(worker("amd64", "arm64", publisher=True)) == "amd64-arm64-publish@here"
    found = find_role(Settings(sign=False, concurrency=3), [], publisher=True).worker
    assert (found.name, found.arches, found.publisher) == (f"publish@{platform.node()}", (), True)
    assert (found.slots, found.host) == (3, platform.node())
    assert find_role(Settings(sign=False), [], publisher=True, name="p1").worker.name == "p1"
