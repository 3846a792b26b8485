"""Orders are signed by the real ssh-keygen, with keys in files, in an agent and on a token, as git does."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pexpect
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from farm.errors import FarmError, TrustDeniedError, TrustError
from farm.trust.ssh_signatures import ORDER_NAMESPACE, public_key, sign, verify
from tests.support.ssh_keys import keygen, ssh_agent, ssh_public_key

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = b'{"packages":[]}\n\0\xff'
PROGRAM = """
import sys
from pathlib import Path
from farm.errors import FarmError
from farm.trust.ssh_signatures import sign
try:
    print(sign(b"order", Path(sys.argv[1]), timeout=float(sys.argv[2])))
except FarmError as error:
    print(f"farm: {error}")
"""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_an_order_is_signed_with_a_key_of_any_usual_kind(tmp_path: Path, kind: str) -> None:
    key = keygen(tmp_path / "key", kind, comment="alice@example.org")
    signature = sign(DOCUMENT, key, timeout=60)
    mine = public_key(key)
    assert mine == " ".join((tmp_path / "key.pub").read_text().split()[:2])
    assert verify(DOCUMENT, signature, [ssh_public_key(), mine]) == mine
    assert verify(DOCUMENT, signature, iter([mine])) == mine
    assert len(DOCUMENT) == 18


def test_a_large_order_is_signed(tmp_path: Path) -> None:
    key, document = keygen(tmp_path / "key"), b"x" * 10_000_000
    assert verify(document, sign(document, key, timeout=60), [public_key(key)])


def test_a_public_key_is_enough_when_the_agent_has_the_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, public = keygen(tmp_path / "key", comment='x" namespaces="*'), tmp_path / "only.pub"
    public.write_text((tmp_path / "key.pub").read_text())
    with ssh_agent(key) as socket:
        key.unlink()
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        signature = sign(DOCUMENT, public, timeout=60)
    assert verify(DOCUMENT, signature, [public_key(public)]) == public_key(public)


@pytest.mark.parametrize("agent", [True, False])
def test_a_key_that_the_agent_lacks_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: bool
) -> None:
    public = keygen(tmp_path / "key").rename(tmp_path / "gone").with_name("key.pub")
    with ssh_agent() as socket:
        if agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        with pytest.raises(
            TrustDeniedError, match=r"^order-key: the agent does not have the private half of .*key"
        ):
            sign(DOCUMENT, public, timeout=60)


def test_a_passphrase_is_asked_for_on_the_terminal(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", passphrase="open sesame")
    arguments = ["-c", PROGRAM, str(key), "60"]
    for answer, expected in (
        ("open sesame", "-----END SSH SIGNATURE-----"),
        ("mistyped", "farm: order-key: .* does not open"),
    ):
        child = pexpect.spawn(sys.executable, arguments, timeout=60, encoding="utf-8")
        child.expect("Enter passphrase.*: ")
        child.sendline(answer)
        child.expect(expected)
        child.expect(pexpect.EOF)
        assert answer not in (child.before or "")


def test_a_terminal_shows_what_is_typed_again_after_nobody_gave_the_passphrase_in_time(
    tmp_path: Path,
) -> None:
    key = keygen(tmp_path / "key", passphrase="open sesame")
    shell = pexpect.spawn("/bin/sh", timeout=60, encoding="utf-8", env={"PS1": "", "PATH": "/usr/bin:/bin"})
    shell.sendline(f"{sys.executable} -c '{PROGRAM}' {key} 1; stty -a")
    shell.expect("farm: order-key: no signature within 1 s")
    assert shell.expect([" echo ", "-echo "]) == 0
    shell.close(force=True)


def test_without_a_terminal_a_passphrase_is_an_error_at_once(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", passphrase="open sesame")
    command = ["setsid", "--wait", sys.executable, "-c", PROGRAM, str(key), "60"]
    # A pipe that nobody writes to, as of a command over ssh: it must not be read for a passphrase.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = child.stdout.read()
    assert said.startswith(
        f"farm: order-key: {key} does not open: the passphrase is wrong, or nobody could be"
    )


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0, "order-key: .*key is no file"),
        ("no key", 0o600, "order-key: .*key does not sign: "),
        ("key", 0o644, "order-key: others can read .*key"),
    ],
)
def test_a_key_that_does_not_sign_is_named_in_one_line(
    tmp_path: Path, content: str | None, mode: int, message: str
) -> None:
    key = tmp_path / "key"
    if content == "key":
        keygen(key)
    elif content:
        key.write_text(content)
    if content:
        key.chmod(mode)
    with pytest.raises(TrustDeniedError, match=message) as caught:
        sign(DOCUMENT, key, timeout=60)
    assert "\n" not in str(caught.value)


def test_the_public_key_is_known_without_the_passphrase(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", passphrase="open sesame")
    expected = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    (tmp_path / "key.pub").unlink()
    assert public_key(key) == expected
    for name, content in (
        ("none", None),
        ("other", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"),
        ("text", "x"),
    ):
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(TrustDeniedError, match=f"^order-key: .*{name}: "):
            public_key(tmp_path / name)


@pytest.mark.parametrize(("flags", "refused"), [(1, None), (5, None), (0, "not touched"), (4, "not touched")])
def test_the_signature_of_a_hardware_key_counts_if_somebody_touched_it(
    flags: int, refused: str | None
) -> None:
    """A token signs a digest, its flags and a counter: openssh-portable/PROTOCOL.u2f."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    raw, application = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), b"ssh:"
    kind = b"sk-ssh-ed25519@openssh.com"
    blob = _string(kind) + _string(raw) + _string(application)
    public = f"{kind.decode()} {base64.b64encode(blob).decode()}"
    scope = _string(ORDER_NAMESPACE.encode()) + _string(b"") + _string(b"sha512")
    signed = b"SSHSIG" + scope + _string(hashlib.sha512(DOCUMENT).digest())
    state = bytes([flags]) + b"\0\0\0\7"
    own = key.sign(hashlib.sha256(application).digest() + state + hashlib.sha256(signed).digest())
    whole = b"SSHSIG\0\0\0\1" + _string(blob) + scope + _string(_string(kind) + _string(own) + state)
    text = base64.encodebytes(whole).decode()
    signature = f"-----BEGIN SSH SIGNATURE-----\n{text}-----END SSH SIGNATURE-----\n"
    if refused:
        with pytest.raises(TrustDeniedError, match=refused):
            verify(DOCUMENT, signature, [public])
        return
    assert verify(DOCUMENT, signature, [public]) == public
    with pytest.raises(TrustDeniedError, match="not valid"):
        verify(DOCUMENT + b"!", signature, [public])


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def test_a_missing_ssh_keygen_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keygen(tmp_path / "key")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        FarmError, match=r"ssh-keygen is not installed \(install it: apt-get install openssh-client"
    ):
        sign(DOCUMENT, key, timeout=60)


def test_a_full_temporary_directory_is_an_error_of_the_farm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keygen(tmp_path / "key")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(TrustError, match=r"^the order cannot be signed: "):
        sign(DOCUMENT, key, timeout=60)
