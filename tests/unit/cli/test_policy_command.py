"""farm policy: the file is changed as asked for, or not at all, and the answer says what it means."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pexpect
import pytest

from farm.cli.main import run
from farm.trust.policy_file import load_policy
from tests.support.farm_command import FARM
from tests.support.ssh_keys import keygen, ssh_public_key, worker_key

if TYPE_CHECKING:
    from pathlib import Path


ADD = ["add", "maintainer"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policy that the commands use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FARM_POLICY", str(tmp_path / "policy.yml"))
    return tmp_path / "policy.yml"


def test_a_policy_is_made_by_adding_maintainers_and_workers(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = keygen(path.parent / "id", comment="alice@laptop")
    may = ["--may", "docker.io/linuxkit/*"]
    assert run(["policy", "add", "maintainer", "alice", "--key", f"{key}.pub", *may]) == 0
    assert run(["policy", "add", "maintainer", "ci", "--key", ssh_public_key(1), *may, "--release"]) == 0
    lines = base64.encodebytes(base64.b64decode(worker_key(1))).decode()
    pem = f"-----BEGIN PUBLIC KEY-----\n{lines}-----END PUBLIC KEY-----\n"
    (path.parent / "worker.pub").write_text(pem)
    assert (
        run(["policy", "add", "worker", "rack1", "--key", "worker.pub", "--arch", "amd64", "--arch", "arm64"])
        == 0
    )
    assert run(["policy", "add", "worker", "rack2", "--key", worker_key(2), "--arch", "s390x"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "alice  may order  docker.io/linuxkit/*",
        "ci  may order  docker.io/linuxkit/*  and release",
        "rack1  builds  amd64, arm64",
        "rack2  builds  s390x",
    ]
    assert run(["policy", "check"]) == 0
    assert capsys.readouterr() == (f"{path}  valid  maintainers: 2, workers: 2\n", "")
    assert run(["policy", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == load_policy(path).to_json()
    assert [one["key"] for one in shown["workers"]] == [worker_key(1), worker_key(2)]


def test_a_removed_maintainer_stays_listed_with_an_end_until_purged(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ["policy", "add", "maintainer", "alice", "--may", "**", "--key"]
    assert run([*add, ssh_public_key(1)]) == 0
    assert run(["policy", "remove", "alice", "--at", "2026-01-02"]) == 0
    assert "nothing that its keys sign after 2026-01-02T00:00:00Z counts" in capsys.readouterr().out
    assert run(["policy", "remove", "alice", "--at", "2027-01-02"]) == 2
    assert "alice was removed at an earlier time" in capsys.readouterr().err
    assert run([*add, ssh_public_key(2)]) == 0
    assert [one.until for one in load_policy(path).maintainers] == [1767312000.0, None]
    assert run(["policy", "remove", "alice", "--purge"]) == 0
    assert "nothing that its keys ever signed counts" in capsys.readouterr().out
    assert load_policy(path).maintainers == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*ADD, "alice", "--may", "**", "--key", ssh_public_key(2)], "alice is in the policy already"),
        ([*ADD, "bob", "--may", "**", "--key", ssh_public_key(1)], "this key already, as that of alice"),
        ([*ADD, "bob", "--may", "linuxkit/*", "--key", ssh_public_key(2)], "write docker.io/linuxkit/*"),
        ([*ADD, "a b", "--may", "**", "--key", ssh_public_key(2)], "'a b' must be letters"),
        ([*ADD, "bob", "--may", "**", "--key", "missing.pub"], "missing.pub: No such file"),
        (["add", "worker", "w", "--arch", "arm64", "--key", "missing.pub"], "--key: must be the base64"),
        (["add", "worker", "w", "--arch", "arm", "--key", worker_key(1)], "'arm' is unknown"),
        (["remove", "nobody"], "nobody is not in the policy"),
        (["remove", "alice", "--at", "2026-01-01", "--purge"], "--at has no meaning with --purge"),
        (["remove", "alice", "--at", "tomorrow"], "--at: must be a time such as"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_changes_nothing(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["policy", "add", "maintainer", "alice", "--may", "**", "--key", ssh_public_key(1)]) == 0
    before = path.read_bytes()
    assert run(["policy", *arguments]) in (2, 4)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert path.read_bytes() == before


def test_the_private_farm_has_a_policy_of_its_own(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FARM_POLICY")
    assert run(["policy", "add", "maintainer", "bob", "--may", "**", "--key", ssh_public_key(1)]) == 0
    names = [one.name for one in load_policy(path.parent / "state" / "policy.yml").maintainers]
    assert names == ["private-farm", "bob"]
    monkeypatch.setenv("FARM_BROKER", "redis://farm.example")
    assert run(["policy", "show"]) == 2
    assert "no policy is set" in capsys.readouterr().err


def test_a_check_names_an_order_key_that_the_policy_lacks(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_ORDER_KEY", str(keygen(path.parent / "id")))
    assert run(["policy", "add", "maintainer", "alice", "--may", "**", "--key", ssh_public_key(1)]) == 0
    assert run(["policy", "check"]) == 0
    assert f"warning: order-key: the policy does not name {path.parent}/id" in capsys.readouterr().err


@pytest.mark.usefixtures("path")
def test_a_table_fits_80_columns() -> None:
    long = "docker.io/linuxkit/a-rather-long-name-of-a-package-*"
    add = ["policy", "add", "maintainer", "alice.longname@building.example.org", "--key", ssh_public_key(1)]
    assert run([*add, "--may", long, "--may", "ghcr.io/another-organisation/**", "--release"]) == 0
    assert run(["policy", "remove", "alice.longname@building.example.org"]) == 0
    child = pexpect.spawn(FARM, ["policy", "show"], dimensions=(24, 80), encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", child.before or "").split("\r\n")]
    assert max(map(len, lines)) <= 80
    assert "build-arguments  none" in lines
