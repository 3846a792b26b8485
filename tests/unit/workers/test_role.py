"""The role of a worker, checked before it accepts the first job."""

from __future__ import annotations

import platform

import pytest

from farm.errors import InputError
from farm.settings import Settings
from workers.role import Role, check_arches, default_name


def check(*wanted: str, emulate: bool = False, emulated: tuple[str, ...] = ("arm64",)) -> None:
    """Check whether an amd64 engine may build these."""
    foreign = [arch for arch in wanted if arch != "amd64"]
    check_arches(wanted, foreign, emulated, settings=Settings(emulate=emulate), own="amd64")


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
    assert Role(("arm64",), publisher=False).queues == ("build.arm64",)
    assert Role((), publisher=True).queues == ("publish",)
    assert Role(("amd64", "s390x"), publisher=True).queues == ("build.amd64", "build.s390x", "publish")


def test_a_worker_describes_its_role_and_machine() -> None:
    role = Role(("amd64", "arm64"), True, "27.1", ("arm64",))
    assert default_name(role) == f"amd64-arm64-publish@{platform.node()}"
    info = role.info("w", 3)
    assert (info.arches, info.publisher, info.slots, info.emulated) == (
        ("amd64", "arm64"),
        True,
        3,
        ("arm64",),
    )
