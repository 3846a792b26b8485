"""A flag of `linuxkit pkg` that has no effect on a farm is noted or refused, never silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import NewWorkspace
    from tests.support.farm_command import Answer, Workspace

NOTED = [
    "-builder-image=moby/buildkit",
    "-builder-config=x.toml",
    "-builder-restart",
    "-ignore-cached",
    "-precache-images",
    "-progress=plain",
    "-verbose",
    "-quiet",
]


@pytest.fixture(scope="module")
def shared(new_workspace: NewWorkspace) -> Workspace:
    """A workspace with one package, which no test changes."""
    workspace = new_workspace()
    workspace.variables["FARM_CACHE"] = str(workspace.directory.parent / "cache")
    plain = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
    workspace.write("one", Dockerfile=plain, build_yml="image: one\narches: [amd64]\n")
    return workspace


@pytest.mark.parametrize("flag", NOTED)
def test_a_flag_without_effect_is_noted(shared: Workspace, flag: str) -> None:
    name = flag.lstrip("-").partition("=")[0]
    for verb in ("build", "push"):
        answer = shared.done("pkg", verb, "-dry-run", flag, "one")
        assert [line for line in answer.err.splitlines() if line.startswith(f"note: --{name}: ")]


@pytest.mark.parametrize(
    ("verb", "flag"),
    [
        ("push", "-pull"),
        ("push", "-pull=false"),
        ("push", "-cache=/nowhere"),
        ("build", "-enable-content-trust"),
    ],
)
def test_a_flag_that_one_verb_cannot_use_is_noted(shared: Workspace, verb: str, flag: str) -> None:
    name = flag.lstrip("-").partition("=")[0]
    assert f"note: --{name}: " in shared.done("pkg", verb, "-dry-run", flag, "one").err


@pytest.mark.parametrize(
    "flag",
    [
        "-hash-dir=x",
        "-strict-deps",
        "-ssh=default",
        "-sbom-scanner=docker/scan",
        "-sbom-scanner=",
        "-image=false -manifest=false",
    ],
)
def test_a_flag_that_cannot_be_honoured_is_refused(shared: Workspace, flag: str) -> None:
    answer: Answer = shared.farm("pkg", "push", *flag.split(), "one")
    assert (answer.code, flag.lstrip("-").partition("=")[0].split()[0] in answer.err) == (2, True)


def test_a_push_notes_builders_since_its_workers_have_their_own(shared: Workspace) -> None:
    there = "linux/arm64=there"
    named = shared.done("pkg", "push", "-dry-run", f"-builders={there}", "one")
    assert "note: --builders: " in named.err
    answer = shared.done("pkg", "push", "-dry-run", "one", LINUXKIT_BUILDERS=there)
    assert "note: LINUXKIT_BUILDERS: " in answer.err
