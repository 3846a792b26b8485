"""What signing needs is said at once, and one command makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farm_command import Answer, Workspace

NOWHERE = {"FARM_ORG": "localhost:1/linuxkit"}
"""A registry that does not answer: whoever asks it has another error."""
NO_SERVER, NO_KEY = {"FARM_NOTARY_SERVER": ""}, {"FARM_SIGNING_KEY": ""}


@pytest.fixture
def bare(workspace: Workspace) -> Workspace:
    """A package, and nothing that has run yet."""
    workspace.write("one", arches="amd64")
    return workspace


def refused(answer: Answer, *words: str) -> None:
    assert (answer.code, len(answer.err.splitlines())) == (4, 1), answer.err
    assert "farm: " in answer.err
    for word in words:
        assert word in answer.err


@pytest.mark.parametrize(
    "words", ["push one", "push --force one", "manifest one", "pkg push one", "sign a:b"]
)
def test_what_is_missing_is_said_before_the_registry_is_asked(bare: Workspace, words: str) -> None:
    verb = words.split()
    refused(bare.farm(*verb, **NOWHERE, **NO_SERVER), "no notary server is set", "--no-sign")
    refused(bare.farm(*verb, **NOWHERE, **NO_KEY), "no signing key is set", "farm trust init")
    both = bare.farm(*verb, **NOWHERE, **NO_SERVER, **NO_KEY)
    refused(both, "neither a notary server nor a signing key is set", "farm trust init")
    assert not bare.state.has_supervisor()


def test_a_plan_shows_what_would_be_done_and_refuses_the_same(bare: Workspace) -> None:
    bare.done("trust", "init", "one")
    for missing, what in ((NO_SERVER, "no notary server is set"), (NO_KEY, "no signing key is set")):
        answer = bare.farm("plan", "one", **missing)
        refused(answer, what, "--no-sign")
        assert "build amd64" in answer.out
    # Who only submits needs no key.
    shared = {"FARM_BROKER": "redis://localhost:1", **NO_KEY}
    assert "signing key" not in bare.farm("plan", "--queue-anyway", "one", **shared).err
    assert bare.farm("plan", "--no-sign", "one", **NO_SERVER, **NO_KEY).code == 0


def test_one_command_makes_what_a_new_machine_lacks_and_says_what_to_set(
    bare: Workspace, tmp_path: Path
) -> None:
    new = {**NO_KEY, "FARM_SIGNING_PASSPHRASE": "", "FARM_STATE_DIR": str(tmp_path / "state")}
    said = bare.done("trust", "init", "one", **new).out
    assert "create, delegate" in said
    lines = said[said.index("farm.yml:\n") :].splitlines()[1:4]
    assert [line.partition(":")[0].strip() for line in lines] == [
        "signing-key",
        "signing-passphrase-file",
        "notary-server",
    ]
    settings = tmp_path / "farm.yml"
    settings.write_text("\n".join(line.strip() for line in lines))
    bare.done("trust", "init", **new)
    # With these settings, the farm signs.
    signs = {**NO_KEY, "FARM_SIGNING_PASSPHRASE": "", "FARM_CONFIG": str(settings)}
    bare.done("push", "one", **signs)
    assert bare.done("inspect", "--json", bare.reference("one")).json["signature"] == "signed"
    for name in ("delegation.pem", "passphrase"):
        assert (tmp_path / "state/keys" / name).stat().st_mode & 0o77 == 0
