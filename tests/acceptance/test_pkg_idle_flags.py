"""A flag of `linuxkit pkg` that has no effect on a farm is noted or refused, never silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import NewWorkspace
    from tests.support.farm_command import Answer, Workspace

NOTED = [
    "-builder-name=x",
    "-builder-image=moby/buildkit",
    "-builder-config=x.toml",
    "-builder-restart",
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
    workspace.write("one", arches="amd64")
    workspace.variables["FARM_SIGN"] = "false"
    return workspace


def notes(answer: Answer) -> set[str]:
    """The flags and variables that a command notes."""
    return {line.split(": ")[1] for line in answer.err.splitlines() if line.startswith("note: ")}


@pytest.mark.parametrize("verb", ["build", "push"])
def test_a_flag_without_effect_is_noted(shared: Workspace, verb: str) -> None:
    names = {f"--{flag.lstrip('-').partition('=')[0]}" for flag in NOTED}
    assert notes(shared.done("pkg", verb, "-dry-run", *NOTED, "one")) == names
    variables = {"LINUXKIT_BUILDER_NAME": "x", "LINUXKIT_BUILDER_CONFIG": "x.toml"}
    assert notes(shared.done("pkg", verb, "-dry-run", "-builder-name=x", "one", **variables)) == {
        "--builder-name",
        "LINUXKIT_BUILDER_CONFIG",
    }


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("push", ["-pull", "-cache=/nowhere", "-ignore-cached"]),
        ("push", ["-pull=false"]),
        ("build", ["-enable-content-trust"]),
    ],
)
def test_a_flag_that_one_verb_cannot_use_is_noted(shared: Workspace, verb: str, flags: list[str]) -> None:
    names = {f"--{flag.lstrip('-').partition('=')[0]}" for flag in flags}
    assert notes(shared.done("pkg", verb, "-dry-run", *flags, "one")) == names


@pytest.mark.parametrize(
    "flag",
    [
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
