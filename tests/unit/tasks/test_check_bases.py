"""Which base images must be which, before anything is asked of a registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farm.errors import OrderError
from farm.model import Job, Reference
from farm.trust.policy import Policy
from tasks.check_bases import check_bases
from tests.support.values import HASH, digest

JOB = Job(
    "r1-abcd", "p", Reference.parse(f"a.org/b/p:{HASH}"), "arm64", HASH, HASH, "{{.Hash}}", digest("context")
)
NOBODY: Any = None
"""A registry that is not needed."""
GOOD, OTHER = digest("good"), digest("other")


def check(bases: dict[str, str], *resolved: tuple[str, str]) -> None:
    check_bases(replace(JOB, bases=tuple(bases.items())), resolved, NOBODY, Policy())


@pytest.mark.parametrize("name", ["a.org/b/base:1", f"a.org/b/base:1@{GOOD}"])
def test_a_base_with_the_digest_of_the_order_is_accepted(name: str) -> None:
    check({name: GOOD}, ("a.org/b/base:1", GOOD))


@pytest.mark.parametrize(
    "resolved",
    [
        ("a.org/b/base:1", OTHER),
        ("a.org/b/base:1", ""),
        ("a.org/b/base:2", GOOD),
        ("a.org/b/base:latest", GOOD),
        ("a.org/b/new:1", OTHER),
        ("a.org/b/new:1", ""),
    ],
)
def test_another_image_of_the_organisation_is_refused(resolved: tuple[str, str]) -> None:
    with pytest.raises(OrderError):
        check({"a.org/b/base:1": GOOD}, resolved)


def test_one_name_that_was_resolved_twice_must_be_right_both_times() -> None:
    with pytest.raises(OrderError, match=OTHER):
        check({"a.org/b/base:1": GOOD}, ("a.org/b/base:1", GOOD), ("a.org/b/base:1", OTHER))


@pytest.mark.parametrize(
    "name", ["index.docker.io/library/alpine:3", "alpine:3", "docker.io/library/alpine:3"]
)
def test_every_spelling_of_docker_hub_is_the_same_name(name: str) -> None:
    check({"alpine:3": GOOD}, (name, GOOD))
    with pytest.raises(OrderError):
        check({"alpine:3": GOOD}, (name, OTHER))


def test_the_images_of_others_are_recorded_and_not_refused() -> None:
    check({}, ("docker.io/library/alpine:3", OTHER), ("a.org/c/base:1", ""), ("a.org/b/c/base:1", OTHER))
