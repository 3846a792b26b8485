"""A tag is signed when a maintainer orders it, or by the notary command that the farm prints."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import NewWorkspace
    from tests.support.farm_command import Workspace


@pytest.fixture(scope="module")
def unsigned(new_workspace: NewWorkspace) -> Workspace:
    """A package that is published unsigned for two architectures; its name is prepared for signing."""
    workspace = new_workspace()
    workspace.write("plain", arches="amd64, arm64")
    workspace.done("trust", "init", "plain")
    workspace.done("push", "--no-sign", "plain")
    return workspace


def signature(workspace: Workspace, reference: str) -> str:
    """The signature of a tag according to `farm inspect`."""
    state: str = workspace.done("inspect", "--json", reference).json["signature"]
    return state


def test_the_printed_commands_sign_when_they_are_run(unsigned: Workspace, tmp_path: Path) -> None:
    reference = unsigned.reference("plain") + "-arm64"
    line = unsigned.done("sign", "--print", reference).out.strip()
    described = unsigned.done("inspect", "--json", reference).json
    assert f" {reference.rpartition(':')[2]} {described['size']} --sha256 " in line
    assert signature(unsigned, reference) == "unsigned"

    trust, opened = f"{unsigned.variables['DOCKER_CONFIG']}/trust", str(tmp_path / "opened.pem")
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "NOTARY_DELEGATION_PASSPHRASE": unsigned.lab.signing_passphrase,
    }
    key = ["-in", str(unsigned.lab.signing_key), "-passin", "env:NOTARY_DELEGATION_PASSPHRASE"]
    for command in (
        ["openssl", "pkey", *key, "-out", opened],
        ["notary", "-d", trust, "key", "import", opened, "--role", "targets/releases"],
        ["sh", "-c", line],
    ):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert signature(unsigned, reference) == "signed"


def test_an_index_and_an_image_are_signed_together_and_a_second_time_changes_nothing(
    unsigned: Workspace,
) -> None:
    index = unsigned.reference("plain")
    both = [index, f"{index}-amd64"]
    run = unsigned.done("sign", "--json", *both).json
    assert [(package["reference"], package["state"]) for package in run["packages"]] == [
        (reference, "signed") for reference in both
    ]
    assert {signature(unsigned, reference) for reference in both} == {"signed"}
    again = unsigned.done("sign", *both).out.splitlines()
    assert [line.split()[:2] for line in again] == [[reference, "signed"] for reference in both]


def test_what_no_worker_has_built_for_a_tag_is_signed_only_if_a_maintainer_adopts_it(
    unsigned: Workspace,
) -> None:
    """So nobody who may push chooses what a maintainer signs under the name of another version."""
    index = unsigned.reference("plain")
    other = f"{unsigned.org}/plain:v7"
    unsigned.done("pkg", "remote-tag", index, other)
    refused = unsigned.farm("sign", other)
    assert refused.code == 4
    assert "no authorised worker attests sha256:" in refused.err
    assert "--adopt" in refused.err
    assert signature(unsigned, other) == "unsigned"
    unsigned.done("sign", "--adopt", other)
    assert signature(unsigned, other) == "signed"


def test_an_image_that_does_not_exist_or_has_no_tag_is_not_signed(unsigned: Workspace) -> None:
    missing = unsigned.farm("sign", f"{unsigned.org}/plain:no-such-tag")
    assert (missing.code, "holds no such image" in missing.err) == (1, True)
    digest = f"{unsigned.org}/plain@sha256:{'0' * 64}"
    pinned = unsigned.farm("sign", digest)
    assert (pinned.code, "only a tag can be signed" in pinned.err) == (2, True)
