"""Signatures of build orders and commits: SSH's, as git makes them, so that agents and hardware keys work.

https://github.com/openssh/openssh-portable/blob/V_9_2_P1/PROTOCOL.sshsig
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import TrustDeniedError, TrustError
from farm.system import processes, programs
from farm.system.files import spool
from farm.trust.ssh_keys import public_key_of, read_public_key, strings

if TYPE_CHECKING:
    from collections.abc import Iterable

ORDER_NAMESPACE = "order@linuxkit-farm"
"""What the signatures are for: one that was made for git or for a file is none of an order."""


class Purpose(NamedTuple):
    """What a signature was made for."""

    namespace: str
    what: str
    """What is signed, for errors."""
    remedy: str


ORDER_SIGNATURES = Purpose(ORDER_NAMESPACE, "order", "sign it again with farm push")
COMMIT_SIGNATURES = Purpose("git", "commit", "a maintainer must sign it: git commit -S")

_PROGRAM = "ssh-keygen"
_ARMOR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?", re.ASCII
)
_LONGEST = 8192
"""Characters of a signature; one of RSA with 16,384 bits has 6,000."""
_MAGIC = b"SSHSIG\0\0\0\1"
_TOUCHED = 1
"""The flag of a token for a person's presence: openssh-portable/PROTOCOL.u2f."""
_SIGNER = "maintainer"
"""The name that the list of allowed signers gives the one key in it."""
_PRIVATE_HEADER = b"openssh-key-v1\0"
_LARGEST_KEY = 1 << 16
_VERIFY_TIMEOUT = 30.0
_GRACE = 2.0
"""Seconds in which ssh-keygen gives the terminal its echo back."""


def sign(document: bytes, key: Path, *, timeout: float) -> str:
    """Sign a document as an order, with one call of ssh-keygen; returns the armored signature.

    Args:
        document: what is signed.
        key: the file of a private key, or of a public one (.pub) whose private half is in the agent or on a
            token. A passphrase is asked for on the terminal, or by SSH_ASKPASS.
        timeout: seconds for all of it, with the answers of a person.

    Raises:
        TrustDeniedError: the key is missing, does not open, or is not in the agent.
        TrustError: it took too long.
    """
    programs.require(_PROGRAM)
    if not key.is_file():
        raise TrustDeniedError(f"order-key: {key} is no file", hint="ssh-keygen -t ed25519 creates a key")
    try:
        with tempfile.TemporaryDirectory(prefix="farm-order-") as directory:
            # A file: with the document as its standard input, ssh-keygen would not ask on the terminal.
            order = Path(directory, "order")
            order.write_bytes(document)
            command = [_PROGRAM, "-q", "-Y", "sign", "-f", str(key.absolute()), "-n", ORDER_NAMESPACE]
            complaint = _attend([*command, str(order)], timeout, may_ask=_on_token(key))
            with suppress(FileNotFoundError):
                return Path(f"{order}.sig").read_text("ascii")
    except OSError as error:
        raise TrustError(f"the order cannot be signed: {error}", hint="TMPDIR names the directory") from error
    raise _no_signature(key, complaint)


def _attend(command: list[str], timeout: float, *, may_ask: bool) -> str:
    """Run ssh-keygen, which may talk to the person at the terminal; returns its complaint."""
    terminal = sys.stdin is not None and sys.stdin.isatty()
    with subprocess.Popen(
        command,
        stdin=None if terminal else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if may_ask else subprocess.PIPE,
    ) as process:
        try:
            complaint = process.communicate(timeout=timeout)[1] or b""
        except subprocess.TimeoutExpired:
            raise TrustError(
                f"order-key: no signature within {timeout:.0f} s", hint="was a passphrase or a touch awaited?"
            ) from None
        finally:
            processes.stop([process], wait=_GRACE)
    return complaint.decode(errors="replace")


def _on_token(key: Path) -> bool:
    """Whether the key is on a FIDO token; ssh-keygen then asks on standard error for a touch."""
    with suppress(TrustDeniedError):
        return public_key(key).startswith("sk-")
    return False


def _no_signature(key: Path, complaint: str) -> TrustDeniedError:
    if "incorrect passphrase" in complaint:
        return TrustDeniedError(
            f"order-key: {key} does not open: the passphrase is wrong, or nobody could be asked for it",
            hint=f"run it on a terminal, or add the key to the agent: ssh-add {key}",
        )
    if "No private key found for public key" in complaint:
        return TrustDeniedError(
            f"order-key: the agent does not have the private half of {key}",
            hint="add it: ssh-add; is SSH_AUTH_SOCK set?",
        )
    if "are too open" in complaint:
        return TrustDeniedError(f"order-key: others can read {key}", hint=f"chmod 600 {key}")
    said = processes.excerpt(complaint, 200) or "see above"
    return TrustDeniedError(f"order-key: {key} does not sign: {said}")


def public_key(key: Path) -> str:
    """The public key of what `sign` takes, without a passphrase: `ssh-ed25519 AAAA...`.

    Raises:
        TrustDeniedError: it cannot be read, or is of a kind that does not sign orders.
    """
    beside = key.with_name(f"{key.name}.pub")
    try:
        text = _start(key)
        if text.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----"):
            return public_key_of(_public_half(text))
        if text.startswith(b"-----BEGIN ") and beside.exists():
            text = _start(beside)
        return read_public_key(text.decode("ascii", "replace"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TrustDeniedError(
            f"order-key: {key}: {reason}", hint="name an SSH key, or its .pub file"
        ) from None


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_KEY)


def _public_half(text: bytes) -> bytes:
    """The public key in a private one: openssh-portable/PROTOCOL.key; it is not encrypted."""
    blob = base64.b64decode(b"".join(text.split(b"-----")[2].split()), validate=True)
    # After the names of cipher and key derivation, its options and the number of keys.
    *_, rest = strings(blob.removeprefix(_PRIVATE_HEADER), 3)
    return strings(rest[4:], 1)[0]


def verify(document: bytes, signature: str, keys: Iterable[str], purpose: Purpose = ORDER_SIGNATURES) -> str:
    """Check that one of the keys signed a document, for this purpose; returns the key, as `keys` have it.

    Raises:
        TrustDeniedError: another key did, or none, or it signed something else.
    """
    what = purpose.what
    key, namespace, touched = _stated(signature, what)
    if namespace != purpose.namespace.encode():
        raise TrustDeniedError(f"the signature was not made for {_a(what)}", hint=purpose.remedy)
    if not touched:
        raise TrustDeniedError(
            f"the token that signed the {what} was not touched",
            hint="a program could have used it: make a key without no-touch-required",
        )
    if key not in set(keys):
        raise TrustDeniedError(
            f"the key that signed the {what} is not in the policy",
            hint=f"farm policy add maintainer NAME --may GLOB --key '{key}'",
        )
    _check(document, signature, key, purpose)
    return key


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


def _check(document: bytes, signature: str, key: str, purpose: Purpose) -> None:
    """Have ssh-keygen check the signature; the list of allowed signers holds nothing but the key."""
    programs.require(_PROGRAM)
    with spool() as allowed, spool() as signed:
        for file, text in (
            (allowed, f'{_SIGNER} namespaces="{purpose.namespace}" {key}\n'),
            (signed, signature),
        ):
            file.write(text.encode("ascii"))
            file.seek(0)
        files = allowed.fileno(), signed.fileno()
        places = ["-f", f"/dev/fd/{files[0]}", "-s", f"/dev/fd/{files[1]}"]
        done = processes.run(
            [_PROGRAM, "-Y", "verify", "-n", purpose.namespace, "-I", _SIGNER, *places],
            given=document,
            timeout=_VERIFY_TIMEOUT,
            late=TrustError("ssh-keygen did not check a signature in time"),
            open_files=files,
        )
    if done.returncode != 0:
        said = processes.excerpt(done.stderr + done.stdout, 200)
        raise TrustDeniedError(f"the signature of the {purpose.what} is not valid: {said}")


class _Stated(NamedTuple):
    """What a signature says of itself."""

    key: str
    namespace: bytes
    touched: bool
    """False for a key on a token that nobody touched for it, which `ssh-keygen -Y verify` accepts."""


def _stated(signature: str, what: str = "order") -> _Stated:
    armor = _ARMOR.fullmatch(signature) if len(signature) <= _LONGEST else None
    try:
        blob = base64.b64decode(armor[1].replace("\n", ""), validate=True) if armor else b""
        # The key, the namespace, a reserved string, the name of the hash, and the signature itself.
        parts = strings(blob.removeprefix(_MAGIC), 5)
        key = public_key_of(parts[0])
        flags = strings(parts[4], 2)[2][0] if key.startswith("sk-") else _TOUCHED
    except (ValueError, IndexError) as error:
        raise TrustDeniedError(f"the signature of the {what} is malformed: {error}") from None
    if not blob.startswith(_MAGIC):
        raise TrustDeniedError(f"the signature of the {what} is not an SSH signature of version 1")
    return _Stated(key, parts[1], bool(flags & _TOUCHED))
