"""The private farm is announced, and never mistaken for one with other settings."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from typing import TYPE_CHECKING

from lab.process import free_port
from tests.support.farm_command import FARM, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farm_command import Workspace

OTHERS = "a private farm with other settings is running (stop it: farm down)"


def on_a_terminal(workspace: Workspace, *words: str) -> tuple[str, str]:
    """What `farm WORDS` prints on standard output, and on the terminal that is its standard error."""
    leader, follower = pty.openpty()
    done = subprocess.run(
        [FARM, *words],
        cwd=workspace.directory,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
        timeout=60,
        check=True,
    )
    os.close(follower)
    errors = os.read(leader, 65536).decode()
    os.close(leader)
    return done.stdout, errors


def test_a_terminal_gets_a_note_that_no_broker_is_set(workspace: Workspace) -> None:
    where = workspace.variables["FARM_STATE_DIR"]
    out, errors = on_a_terminal(workspace, "status", "--json")
    assert out.strip() == "[]"
    assert errors.splitlines() == [f"note: no broker is set: using the private farm in {where}"]
    assert workspace.done("status", "--json").err == ""


def test_settings_that_differ_from_those_of_the_running_farm_are_refused(
    workspace: Workspace, broker: str
) -> None:
    port = {"FARM_FLOWER_PORT": str(free_port())}
    workspace.write("one", arches="amd64")
    workspace.done("up", "--detach", **port)
    for words, more in ((["up"], {"FARM_BROKER": broker}), (["up", "--concurrency", "3"], {})):
        answer = workspace.farm(*words, **port, **more)
        assert (answer.code, answer.err) == (1, f"farm: {OTHERS}\n")
    answer = workspace.farm("push", "--no-sign", "one", "--engine", "unix:///no/such/engine.sock")
    assert OTHERS in answer.err
    assert workspace.done("status", "--json").json == []
    workspace.done("push", "--no-sign", "one", "--org", f"{workspace.org}/other")
    workspace.done("down")


def test_a_farm_of_a_broker_is_not_mistaken_for_the_private_farm(workspace: Workspace, broker: str) -> None:
    workspace.done("up", "--detach", FARM_BROKER=broker, FARM_FLOWER_PORT=str(free_port()))
    assert OTHERS in workspace.farm("status").err
    assert workspace.done("status", "--json", FARM_BROKER=broker).json == []
    workspace.done("down")
    assert workspace.done("status", "--json").json == []


def test_an_unused_farm_is_replaced_by_one_with_other_settings(workspace: Workspace) -> None:
    """A command that immediately follows another gets workers with its own settings."""
    workspace.write("one", arches="amd64")
    workspace.done("push", "--no-sign", "one")
    nowhere = workspace.farm("push", "--no-sign", "--force", "one", "--engine", "unix:///no/such/engine.sock")
    assert (nowhere.code, "/no/such/engine.sock" in nowhere.err) == (3, True)
    wait_until(lambda: workspace.done("push", "--no-sign", "--force", "one"), 120)


def test_a_push_needs_six_programs_and_no_other(workspace: Workspace, tmp_path: Path) -> None:
    """Besides a Docker Engine.

    openssl and notary sign, ssh-keygen signs orders, and redis-server is needed if no broker is set.
    """
    for name in ("git", "notary", "openssl", "setpriv", "ssh-keygen", "redis-server"):
        program = shutil.which(name)
        assert program
        (tmp_path / name).symlink_to(program)
    workspace.write("few", arches="amd64")
    workspace.done("trust", "init", "few")
    workspace.done("push", "few", PATH=str(tmp_path))
    assert workspace.done("inspect", "--json", workspace.reference("few")).json["signature"] == "signed"
