"""Attacks on the policy and on signatures of orders, each by the weakest role that could try it."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from farm.errors import PolicyError, SettingsError, TrustDeniedError
from farm.trust import ssh_signatures
from farm.trust.policy import Maintainer, Policy, ended
from farm.trust.policy_file import load_policy, save_policy
from farm.trust.policy_text import policy_of
from farm.trust.ssh_signatures import public_key, sign, verify
from tests.support.ssh_keys import keygen, ssh_public_key

if TYPE_CHECKING:
    from pathlib import Path

ORDER = b'{"packages":["docker.io/linuxkit/foo"]}'
STRANGER = 54321


@pytest.fixture(scope="module")
def mallory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of somebody who is not in the policy."""
    return keygen(tmp_path_factory.mktemp("mallory") / "key")


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of a maintainer."""
    return keygen(tmp_path_factory.mktemp("alice") / "key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A policy that only its owner can change."""
    path = tmp_path / "etc" / "policy.yml"
    path.parent.mkdir()
    save_policy(path, Policy((Maintainer("alice", ssh_public_key(1), ("docker.io/linuxkit/*",)),)))
    return path


def test_an_order_signed_by_somebody_outside_the_policy_is_refused(alice: Path, mallory: Path) -> None:
    signature = sign(ORDER, mallory, timeout=60)
    with pytest.raises(TrustDeniedError, match=r"^the key that signed the order is not in the policy"):
        verify(ORDER, signature, [public_key(alice)])


def test_a_maintainer_of_other_names_cannot_order_this_one(alice: Path) -> None:
    policy = Policy((Maintainer("alice", public_key(alice), ("docker.io/linuxkit/*",), release=True),))
    maintainer = policy.maintainer_of(verify(ORDER, sign(ORDER, alice, timeout=60), [public_key(alice)]))
    assert maintainer
    for name in ("docker.io/lfedge/eve", "evil.example/docker.io/linuxkit/foo", "docker.io/linuxkit/../eve"):
        with pytest.raises(PolicyError, match=r"^alice may not order "):
            policy.may_order(maintainer, ["docker.io/linuxkit/foo", name], release=False, at=0)


def test_an_order_of_a_removed_key_is_refused(alice: Path) -> None:
    policy = Policy(ended([Maintainer("alice", public_key(alice), ("**",))], "alice", 1000.0))
    maintainer = policy.maintainer_of(verify(ORDER, sign(ORDER, alice, timeout=60), [public_key(alice)]))
    assert maintainer
    with pytest.raises(PolicyError, match=r"^the policy has removed this key of alice"):
        policy.may_order(maintainer, ["docker.io/linuxkit/foo"], release=False, at=1001.0)


def test_a_maintainers_signature_of_a_git_commit_is_none_of_an_order(
    alice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ssh_signatures, "ORDER_NAMESPACE", "git")
        signature = sign(ORDER, alice, timeout=60)
    with pytest.raises(TrustDeniedError, match=r"^the signature was not made for an order"):
        verify(ORDER, signature, [public_key(alice)])
    # The namespace that the blob states is part of what is signed.
    blob = base64.b64decode("".join(signature.splitlines()[1:-1]))
    own = ssh_signatures.ORDER_NAMESPACE.encode()
    forged = blob.replace(b"\0\0\0\3git", len(own).to_bytes(4, "big") + own)
    with pytest.raises(TrustDeniedError, match=r"^the signature of the order is not valid: "):
        verify(ORDER, _armored(forged), [public_key(alice)])


def test_a_signature_over_other_bytes_is_refused(alice: Path) -> None:
    signature = sign(ORDER, alice, timeout=60)
    for other in (b"", ORDER + b" ", ORDER + b"\n", ORDER[:-1], ORDER.replace(b"foo", b"bar")):
        with pytest.raises(TrustDeniedError, match=r"^the signature of the order is not valid: "):
            verify(other, signature, [public_key(alice)])


def test_a_signature_that_states_the_key_of_a_maintainer_without_having_it_is_refused(
    alice: Path, mallory: Path
) -> None:
    blob = base64.b64decode("".join(sign(ORDER, mallory, timeout=60).splitlines()[1:-1]))
    hers, his = (base64.b64decode(public_key(key).split()[1]) for key in (alice, mallory))
    with pytest.raises(TrustDeniedError, match=r"^the signature of the order is not valid: "):
        verify(ORDER, _armored(blob.replace(his, hers)), [public_key(alice)])


def _armored(blob: bytes) -> str:
    text = base64.encodebytes(blob).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{text}-----END SSH SIGNATURE-----\n"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "garbage",
        "\0" * 100,
        _armored(b""),
        _armored(b"SSHSIG\0\0\0\1"),
        _armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"),
        _armored(b"SSHSIG\0\0\0\1" + b"\0\0\0\0" * 5),
        _armored(b"SSHSIG\0\0\0\2" + b"\0\0\0\0" * 5),
        _armored(b"A" * 10_000_000),
        "-----BEGIN SSH SIGNATURE-----\n" * 100_000,
        "-----BEGIN SSH SIGNATURE-----\n=\n-----END SSH SIGNATURE-----\n",
    ],
    ids=range(11),
)
def test_garbage_as_a_signature_of_any_size_is_refused(signature: str) -> None:
    with pytest.raises(TrustDeniedError, match=r"^the signature of the order is (malformed|not an SSH)"):
        verify(ORDER, signature, [ssh_public_key()])


def test_every_signature_with_a_byte_changed_cut_off_or_added_is_refused(alice: Path) -> None:
    blob = base64.b64decode("".join(sign(ORDER, alice, timeout=60).splitlines()[1:-1]))
    changed = [blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(0, len(blob), 3)]
    for forged in (*changed, blob[:-1], blob[:40], blob + b"\0", blob * 2):
        with pytest.raises(TrustDeniedError):
            verify(ORDER, _armored(forged), [public_key(alice)])


@pytest.mark.parametrize("comment", ["* namespaces=*", '" cert-authority', "# ", "alice@example.org,*"])
def test_a_comment_in_a_key_lets_nobody_else_sign(alice: Path, mallory: Path, comment: str) -> None:
    text = f"maintainers: [{{name: alice, key: {_quoted(f'{public_key(alice)} {comment}')}, may: ['**']}}]"
    keys = [one.key for one in policy_of("policy.yml", text.encode()).maintainers]
    assert keys == [public_key(alice)]
    with pytest.raises(TrustDeniedError):
        verify(ORDER, sign(ORDER, mallory, timeout=60), keys)


def test_a_second_line_in_a_key_is_refused(alice: Path, mallory: Path) -> None:
    written = _quoted(f"{public_key(alice)}\nmallory {public_key(mallory)}")
    text = f"maintainers: [{{name: alice, key: {written}, may: ['**']}}]"
    with pytest.raises(SettingsError, match=r"must be an SSH public key in one line"):
        policy_of("policy.yml", text.encode())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"').replace("\n", "\\n") + '"'


@pytest.mark.parametrize("prefix", ["cert-authority ", 'namespaces="*" ', "* ", "@revoked "])
def test_options_before_a_key_are_refused(alice: Path, prefix: str) -> None:
    text = f"maintainers: [{{name: alice, key: {_quoted(prefix + public_key(alice))}, may: ['**']}}]"
    with pytest.raises(SettingsError, match=r"^policy.yml:1: maintainers.key: must be an SSH public key"):
        policy_of("policy.yml", text.encode())


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o622])
def test_a_policy_that_another_local_user_can_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(PolicyError, match=r"etc/policy.yml can be written by other users"):
        load_policy(path)


def test_a_policy_of_another_local_user_is_refused(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(PolicyError, match=r"etc/policy.yml belongs to another user"):
        load_policy(path)


def test_a_policy_in_the_clone_of_who_became_root_by_sudo_is_theirs_and_no_other_users(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (path, path.parent):
        os.chown(one, STRANGER, STRANGER)
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert load_policy(path).maintainers
    monkeypatch.setenv("SUDO_UID", str(STRANGER + 1))
    with pytest.raises(PolicyError, match=r"belongs to another user"):
        load_policy(path)


@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), (0o775, 0), (0o755, STRANGER), (0o1777, STRANGER)])
def test_a_policy_in_a_directory_where_another_local_user_can_replace_it_is_refused(
    path: Path, mode: int, owner: int
) -> None:
    os.chown(path.parent, owner, STRANGER)
    path.parent.chmod(mode)
    for way in (path, path.parent / "sub" / ".." / "policy.yml"):
        (path.parent / "sub").mkdir(exist_ok=True)
        with pytest.raises(PolicyError, match=r"etc (can be written by other users|belongs to another user)"):
            load_policy(way)
    before = path.read_bytes()
    with pytest.raises(PolicyError):
        save_policy(path, Policy())
    assert path.read_bytes() == before


def test_a_policy_in_a_sticky_directory_such_as_tmp_is_safe_if_its_owner_is(path: Path) -> None:
    path.parent.chmod(0o1777)
    assert load_policy(path).maintainers
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(PolicyError):
        load_policy(path)


def test_a_link_that_another_local_user_made_or_can_move_is_not_followed(tmp_path: Path, path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "policy.yml").symlink_to(path)
    assert load_policy(shared / "policy.yml").maintainers
    os.lchown(shared / "policy.yml", STRANGER, STRANGER)
    with pytest.raises(PolicyError, match=r"shared/policy.yml belongs to another user"):
        load_policy(shared / "policy.yml")
    (tmp_path / "first").symlink_to("shared/policy.yml")
    with pytest.raises(PolicyError, match=r"shared/policy.yml belongs to another user"):
        load_policy(tmp_path / "first")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").symlink_to("policy.yml")
    with pytest.raises(SettingsError, match="leads through too many links"):
        load_policy(tmp_path / "policy.yml")


def test_a_policy_that_is_a_fifo_a_device_or_a_directory_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "directory").mkdir()
    for name in ("fifo", "zero", "directory"):
        with pytest.raises(PolicyError, match=r"is not a regular file|can be written by other users"):
            load_policy(tmp_path / name)


def test_a_huge_policy_is_refused_before_it_is_read(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(SettingsError, match="is larger than 1 MiB"):
        load_policy(path)
