"""Public keys of SSH as text: `ssh-ed25519 AAAA...`, in one spelling, without options or comment.

https://www.rfc-editor.org/rfc/rfc4253#section-6.6
"""

from __future__ import annotations

import base64
import binascii

TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_LONGEST = 4096
"""Characters of a public key; one of RSA with 16,384 bits has 2,800."""
_LENGTH = 4
_SMALLEST_RSA = 2048


def strings(data: bytes, count: int) -> list[bytes]:
    """The first strings of SSH's binary encoding, and then what follows them.

    https://www.rfc-editor.org/rfc/rfc4251#section-5

    Raises:
        ValueError: the data ends before.
    """
    found = []
    for _ in range(count):
        start, end = _LENGTH, _LENGTH + int.from_bytes(data[:_LENGTH], "big")
        if len(data) < max(start, end):
            raise ValueError("it is cut off")
        found.append(data[start:end])
        data = data[end:]
    return [*found, data]


def read_public_key(text: str) -> str:
    """The public key in the line of a .pub file, without its comment.

    Raises:
        ValueError: it is none, or of a kind that does not sign orders; the error says so.
    """
    words = text.split(None, 2)
    if len(text) > _LONGEST or len(words) < 2 or words[0] not in TYPES or "\n" in text.strip():  # noqa: PLR2004 - type and key
        raise ValueError(
            f"must be an SSH public key in one line, of the type {', '.join(TYPES[:2])} or the like"
        )
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ValueError("the SSH public key is no base64") from None
    key = public_key_of(blob)
    if not key.startswith(f"{words[0]} "):
        raise ValueError("the SSH public key is of another type than it says")
    return key


def public_key_of(blob: bytes) -> str:
    """The text of a public key in SSH's binary encoding.

    Raises:
        ValueError: it is malformed, or of a kind that does not sign orders.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - 45 ms that most commands do without
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key  # noqa: PLC0415

    kind = strings(blob, 1)[0].decode("ascii", "replace")
    if kind not in TYPES:
        raise ValueError("the SSH key is of a type that does not sign orders; use ed25519, ECDSA or RSA")
    text = f"{kind} {base64.b64encode(blob).decode()}"
    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the SSH public key is malformed") from None
    if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        raise ValueError(f"the RSA key is shorter than {_SMALLEST_RSA} bits")
    return text
