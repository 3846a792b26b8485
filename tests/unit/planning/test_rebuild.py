"""Unit tests of farm.planning.rebuild."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farm.attestation.check import Attestation
from farm.errors import AttestationError, InputError
from farm.model import Job, Reference
from farm.package.tags import render_tag
from farm.planning.rebuild import rebuild_work
from tests.support.attestations import PROVENANCE
from tests.support.values import HASH, job

JOB = job("arm64", build_args=(("A", "1"), ("SOURCE_DATE_EPOCH", "7")), context_size=9)
NAME = Reference.parse("localhost:1/linuxkit/foo:latest")


def stated(what: Job = JOB, *, more: dict[str, Any] | None = None, **facts: Any) -> Attestation:
    """What a worker attests of a job."""
    said = {name: value for name, value in what.to_json().items() if name not in ("run", "package")}
    about: dict[str, Any] = {
        "arch": what.arch,
        "recipe": what.recipe,
        "parameters": {"job": said | (more or {})},
    }
    return Attestation(replace(PROVENANCE, **(about | facts)), "key", "one", b"")


def test_the_stated_build_is_repeated_without_a_cache_under_a_tag_that_nothing_else_has() -> None:
    work = rebuild_work({"arm64": stated()}, NAME, "r7-abcd")
    (made,) = work.jobs
    assert str(made.reference) == f"localhost:1/linuxkit/foo:{HASH}-rebuild"
    assert render_tag(made.tag, made.hash) == made.reference.tag
    assert (made.no_cache, made.force, made.run) == (True, True, "r7-abcd")
    assert (work.images_only, work.sign, work.copies) == (True, False, ())
    same = (
        "arch",
        "tree",
        "context",
        "context_size",
        "build_args",
        "labels",
        "bases",
        "dockerfile",
        "network",
    )
    assert [getattr(made, name) for name in same] == [getattr(JOB, name) for name in same]


@pytest.mark.parametrize(
    "attestation",
    [
        stated(job("arm64", package="linuxkit/other")),
        stated(tree="f" * 40),
        stated(recipe=f"sha256:{'0' * 64}"),
        stated(tag="v1"),
        stated(more={"network": True}),
        stated(more={"later": 1}),
        stated(more={"reference": 7}),
        stated(parameters={}),
        stated(parameters={"job": []}),
    ],
    ids=["name", "tree", "recipe", "tag", "network", "field", "type", "none", "list"],
)
def test_an_attestation_that_contradicts_itself_or_states_no_build_is_not_repeated(
    attestation: Attestation,
) -> None:
    """A worker that lies about how it built must not have a maintainer sign something else."""
    with pytest.raises(AttestationError):
        rebuild_work({"arm64": attestation}, NAME, "r7-abcd")


def test_images_of_different_tags_are_not_built_again_at_once() -> None:
    other = replace(job("amd64", tag="v1"), reference=NAME.with_tag("v1"))
    with pytest.raises(InputError, match="--arch"):
        rebuild_work({"arm64": stated(), "amd64": stated(other, tag="v1")}, NAME, "r7-abcd")
