"""A build that fails: what is kept, what is reported, and what the next push does."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.farm_command import BUSYBOX
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import answer
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from lab.lab import Lab
    from tests.acceptance.conftest import NewWorkspace
    from tests.support.farm_command import Answer, Workspace

FRAGILE = """\
ARG REGISTRY
FROM ${REGISTRY}/library/busybox:1.36
ARG BREAKS_ON
RUN echo "about to be built"; test "$(uname -m)" != "$BREAKS_ON" || { echo "no luck here" >&2; exit 3; }
"""


@pytest.fixture(scope="module")
def failed(lasting: Workspace) -> tuple[Workspace, Answer]:
    """A package whose s390x build fails, and another that needs it, pushed."""
    lasting.write("fragile", Dockerfile=FRAGILE)
    lasting.write("needy", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/fragile:{lasting.tag('fragile')}\n")
    lasting.done("trust", "init", "fragile", "needy")
    return lasting, lasting.farm("push", "fragile", "needy", FARM_BUILD_ARGS=_arguments(lasting, "s390x"))


def _arguments(workspace: Workspace, machine: str) -> str:
    return f"{workspace.variables['FARM_BUILD_ARGS']},BREAKS_ON={machine}"


def test_the_exit_code_and_one_line_say_what_failed_why_and_where(failed: tuple[Workspace, Answer]) -> None:
    workspace, answer = failed
    assert answer.code == 1
    sentence = next(
        line for line in answer.err.splitlines() if line.startswith("failed: ") and "fragile s390x" in line
    )
    assert "failed with status 3" in sentence
    assert "no luck here" in sentence
    assert re.search(rf"farm logs r1-\w{{4}} {workspace.org}/fragile s390x", sentence)


def test_the_last_lines_of_the_log_are_shown_and_the_log_is_kept(failed: tuple[Workspace, Answer]) -> None:
    workspace, answer = failed
    assert "    " in answer.err
    assert "about to be built" in answer.err
    run = re.search(r"run (r1-\w{4}): failed", answer.out)
    assert run
    log = workspace.done("logs", run[1], "fragile", "s390x")
    assert "no luck here" in log.out


def test_dependents_of_the_failed_package_are_not_built(failed: tuple[Workspace, Answer]) -> None:
    workspace, answer = failed
    assert f"{workspace.org}/needy: needs {workspace.org}/fragile, which failed" in answer.err
    assert workspace.tags("needy") == []


def test_the_other_two_are_kept_no_index_appears_and_nothing_is_signed(
    failed: tuple[Workspace, Answer],
) -> None:
    workspace, _ = failed
    tag = workspace.tag("fragile")
    assert workspace.tags("fragile") == [f"{tag}-amd64", f"{tag}-arm64"]
    assert workspace.farm("inspect", workspace.reference("fragile")).code == 1


def test_after_the_fix_only_the_failed_build_is_repeated(failed: tuple[Workspace, Answer]) -> None:
    workspace, _ = failed
    run = workspace.done("push", "--json", "fragile", FARM_BUILD_ARGS=_arguments(workspace, "nothing")).json
    states = {job["arch"]: job["state"] for job in run["packages"][0]["jobs"]}
    assert states == {"amd64": "exists", "arm64": "exists", "s390x": "built"}
    assert run["packages"][0]["state"] == "signed"
    described = workspace.done("inspect", "--json", workspace.reference("fragile")).json
    assert [image["platform"]["architecture"] for image in described["images"]] == ["amd64", "arm64", "s390x"]


def test_a_retried_push_keeps_the_complete_log_of_the_build(
    lab: Lab, lasting: Workspace, new_workspace: NewWorkspace
) -> None:
    with http_proxy(lab.registry) as proxy:
        workspace = new_workspace(lab=replace(lab, registry=proxy.address), beside=lasting)
        workspace.write(
            "again",
            arches="amd64",
            Dockerfile=f"{BUSYBOX}RUN echo said once\n",
        )
        fault = proxy.breaks("PUT", "/manifests/.*-amd64$", answer(500))
        run = workspace.done("push", "--no-sign", "--json", "again").json["run"]
        assert fault.hits == 1
        assert proxy.seen("PUT", "/manifests/.*-amd64$") == 2
        for way in ([], ["--follow"]):
            assert "said once" in workspace.done("logs", *way, run, "again", "amd64").out


def test_a_full_directory_for_temporary_files_is_named_in_the_error(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.write("large", Dockerfile="FROM scratch\nCOPY noise /\n", noise=os.urandom(1 << 20).hex())
    with small_disk(tmp_path / "disk") as disk:
        refused = workspace.farm("push", "--no-sign", "large", TMPDIR=str(disk))
        assert refused.code == 1
        assert f"the temporary directory {disk} is full on" in refused.err
        assert len(refused.err.splitlines()) == 1, refused.err
        workspace.done("down")
    assert "r1" not in workspace.done("status").out
