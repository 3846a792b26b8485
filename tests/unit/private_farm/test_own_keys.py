"""The private farm trusts itself: its keys and policy are created once, whoever dies meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import SettingsError, TrustDeniedError
from farm.model import ARCHES
from farm.private_farm.own_keys import ensure_own_trust
from farm.private_farm.state_directory import StateDirectory
from farm.trust.policy import ended
from farm.trust.policy_file import load_policy, save_policy
from farm.trust.ssh_signatures import public_key, sign, verify

if TYPE_CHECKING:
    from pathlib import Path

ENSURE = """
import os, signal, sys
from pathlib import Path
from farm.private_farm.own_keys import ensure_own_trust
left = [int(sys.argv[2])]
def step(event, arguments):
    if event in ("open", "os.link", "os.rename", "os.remove") and sys.argv[1] in str(arguments[0]):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
ensure_own_trust(Path(sys.argv[1]))
"""
"""Kills itself before the given change of a file in the directory."""


def test_a_private_farm_orders_builds_and_releases_whatever_it_likes(tmp_path: Path) -> None:
    own = ensure_own_trust(StateDirectory.at(tmp_path / "state"))
    policy = load_policy(own.policy)
    key = verify(b"order", sign(b"order", own.order_key, timeout=60), [public_key(own.order_key)])
    maintainer = policy.maintainer_of(key)
    assert maintainer is not None
    policy.may_order(maintainer, ["docker.io/a/b", "localhost:5000/c/d/e"], release=True, at=1e10)
    assert [(one.name, one.arches) for one in policy.workers] == [("private-farm", ARCHES)]
    assert policy.refused_build_arguments(["ANY"]) == ()
    assert not policy.refused_frontend("docker/dockerfile:1")
    assert policy.signatures == ()
    assert [path.stat().st_mode & 0o777 for path in (own.order_key, own.worker_key)] == [0o600, 0o600]


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    own = ensure_own_trust(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in own}
    assert ensure_own_trust(tmp_path) == own
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in own} == before


def test_the_user_may_change_the_policy_of_a_private_farm(tmp_path: Path) -> None:
    own = ensure_own_trust(tmp_path)
    policy = load_policy(own.policy)
    strict = replace(policy, attestations=2, maintainers=ended(policy.maintainers, "private-farm", 5.0))
    save_policy(own.policy, strict)
    ensure_own_trust(tmp_path)
    assert load_policy(own.policy) == strict


def test_keys_that_were_deleted_are_replaced_and_what_they_signed_stays_valid(tmp_path: Path) -> None:
    own = ensure_own_trust(tmp_path)
    first = load_policy(own.policy)
    own.order_key.unlink()
    own.worker_key.unlink()
    ensure_own_trust(tmp_path)
    policy = load_policy(own.policy)
    assert [one.until is None for one in policy.maintainers] == [False, True]
    assert [one.until is None for one in policy.workers] == [False, True]
    assert (policy.maintainers[0].key, policy.workers[0].key) == (
        first.maintainers[0].key,
        first.workers[0].key,
    )
    assert policy.maintainer_of(public_key(own.order_key)) == policy.maintainers[1]


def test_commands_that_start_at_the_same_time_get_the_same_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: ensure_own_trust(tmp_path), range(8)))
    assert len(found) == 1
    policy = load_policy(tmp_path / "policy.yml")
    assert (len(policy.maintainers), len(policy.workers)) == (1, 1)
    assert policy.maintainer_of(public_key(tmp_path / "order-key"))


def test_a_command_that_is_killed_at_any_step_leaves_nothing_that_stops_the_next_one(tmp_path: Path) -> None:
    for step in range(1, 100):
        directory = tmp_path / str(step)
        directory.mkdir()
        ended = subprocess.run([sys.executable, "-c", ENSURE, str(directory), str(step)], check=False)
        own = ensure_own_trust(directory)
        policy = load_policy(own.policy)
        assert policy.maintainer_of(public_key(own.order_key)) is not None
        assert (len(policy.maintainers), len(policy.workers), policy.build_arguments) == (1, 1, ("*",))
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
    assert 15 < step < 99


@pytest.mark.parametrize("name", ["order-key", "worker-key.pem", "policy.yml"])
def test_a_file_that_was_left_empty_is_written_and_one_that_is_damaged_is_named(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch(0o600)
    ensure_own_trust(tmp_path)
    assert (tmp_path / name).stat().st_size
    (tmp_path / name).write_text("damaged")
    with pytest.raises((SettingsError, TrustDeniedError), match=name):
        load_policy(ensure_own_trust(tmp_path).policy)
