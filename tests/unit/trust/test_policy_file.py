"""The policy's file: read again when it changes, and replaced as a whole."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import PolicyError, SettingsError
from farm.trust.policy import Maintainer, Policy, WorkerKey, ended
from farm.trust.policy_edit import change_policy
from farm.trust.policy_file import PolicyFile, load_policy, save_policy
from farm.trust.policy_text import policy_of
from tests.support.ssh_keys import ssh_public_key, worker_key

if TYPE_CHECKING:
    from pathlib import Path

ALICE = Maintainer("alice", ssh_public_key(1), ("docker.io/linuxkit/*",))
BOB = Maintainer("bob", ssh_public_key(2), ("**",), release=True)
BUILDER = WorkerKey("w", worker_key(1), ("arm64", "amd64"))
COMMENTED = f"""\
# who may order
maintainers:
  # Alice, until she retires
  - {{name: alice, key: "{ALICE.key} laptop", may: ['docker.io/linuxkit/*']}}
  - name: bob
    key: {BOB.key}   # token
    may:
      - "**"
    release: yes

# what is demanded
signatures: [notary]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.yml"


def test_a_worker_sees_a_changed_policy_at_once_and_reads_an_unchanged_one_once(path: Path) -> None:
    save_policy(path, Policy((ALICE,)))
    file = PolicyFile(path)
    first = file.current()
    assert (first, file.current() is first) == (Policy((ALICE,)), True)
    save_policy(path, Policy((BOB,)))
    assert file.current() == Policy((BOB,))


def test_a_change_in_place_that_restores_the_modification_time_is_seen(path: Path) -> None:
    path.write_text("attestations: 1\n")
    before, file = path.stat(), PolicyFile(path)
    assert file.current().attestations == 1
    path.write_text("attestations: 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.current().attestations == 2


def test_a_policy_that_became_invalid_is_an_error_and_the_earlier_one_does_not_go_on(path: Path) -> None:
    save_policy(path, Policy((ALICE,)))
    file = PolicyFile(path)
    file.current()
    path.write_text("maintainers: everybody\n")
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"policy.yml:1: maintainers: must be a list"):
            file.current()
    path.unlink()
    with pytest.raises(SettingsError, match=r"^policy: .*policy.yml cannot be read: No such file"):
        file.current()


def test_a_directory_that_became_writable_by_others_is_an_error_although_the_file_did_not_change(
    path: Path,
) -> None:
    save_policy(path, Policy((ALICE,)))
    file = PolicyFile(path)
    file.current()
    path.parent.chmod(0o777)
    with pytest.raises(PolicyError, match=r"can be written by other users"):
        file.current()


def test_a_policy_behind_the_links_of_its_owner_is_read_and_replaced_behind_them(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "p.yml", tmp_path / "policy.yml"
    (tmp_path / "dir").symlink_to("real")
    link.symlink_to("dir/../dir/p.yml")
    save_policy(real, Policy((ALICE,)))
    assert load_policy(link) == Policy((ALICE,))
    save_policy(link, Policy((BOB,)))
    assert (link.is_symlink(), load_policy(real)) == (True, Policy((BOB,)))


def test_a_saved_policy_keeps_its_mode_except_for_others_permission_to_write(path: Path) -> None:
    save_policy(path, Policy())
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o660)
    save_policy(path, Policy((ALICE,)))
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in path.parent.iterdir()] == ["policy.yml"]


def test_comments_and_spelling_stay_when_an_entry_is_added_ended_or_purged(path: Path) -> None:
    path.write_text(COMMENTED)
    carol = Maintainer("carol", ssh_public_key(3), ("docker.io/carol/*",))
    change_policy(path, lambda old: replace(old, maintainers=(*old.maintainers, carol), workers=(BUILDER,)))
    change_policy(path, lambda old: replace(old, maintainers=ended(old.maintainers, "bob", 1000.0)))
    lines = path.read_text().splitlines()
    assert [
        line for line in COMMENTED.splitlines()[:4] + COMMENTED.splitlines()[9:] if line not in lines
    ] == []
    assert load_policy(path) == Policy((ALICE, replace(BOB, until=1000.0), carol), (BUILDER,), ("notary",))
    change_policy(path, lambda old: replace(old, maintainers=old.maintainers[1:], workers=()))
    assert load_policy(path) == Policy((replace(BOB, until=1000.0), carol), (), ("notary",))
    assert "# Alice, until she retires" in path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        f'{{"maintainers": [{{"name": "alice", "key": "{ALICE.key}", "may": ["docker.io/linuxkit/*"]}}]}}',
        f"maintainers:\n-\n  key: {ALICE.key}\n  name: alice\n  may: [docker.io/linuxkit/*]",
        f"maintainers: [{{name: alice, key: {ALICE.key},\n  may: [docker.io/linuxkit/*]}}]\nworkers:\n",
        f"maintainers:\n- name: alice\n  may: &m [docker.io/linuxkit/*]\n  key: >\n    {ALICE.key}\nworkers:",
    ],
)
def test_a_policy_in_any_spelling_can_be_changed(path: Path, text: str) -> None:
    path.write_text(text)
    change_policy(path, lambda old: replace(old, maintainers=(*old.maintainers, BOB), workers=(BUILDER,)))
    assert load_policy(path) == Policy((ALICE, BOB), (BUILDER,))
    change_policy(path, lambda old: replace(old, maintainers=ended(old.maintainers, "alice", 5.0)))
    change_policy(path, lambda old: replace(old, maintainers=old.maintainers[:1]))
    assert load_policy(path) == Policy((replace(ALICE, until=5.0),), (BUILDER,))


def test_a_change_that_is_not_valid_changes_nothing(path: Path) -> None:
    path.write_text(COMMENTED)
    with pytest.raises(SettingsError, match=r"^new policy:2: maintainers.name: 'a b' must be letters"):
        change_policy(path, lambda old: replace(old, maintainers=(replace(ALICE, name="a b"),)))
    assert path.read_text() == COMMENTED
    assert policy_of("", COMMENTED.encode()).maintainers == (ALICE, BOB)
