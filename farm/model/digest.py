"""Digests, written sha256:HEX: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests."""

from __future__ import annotations

import hashlib
import re

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """The digest of bytes in memory."""
    return digest_from_hex(hashlib.sha256(content).hexdigest())


def digest_from_hex(hexadecimal: str) -> str:
    """The digest with this hexadecimal SHA-256."""
    return f"sha256:{hexadecimal}"


def hex_of(digest: str) -> str:
    """The hexadecimal part of a digest, which names files and signatures."""
    return digest.removeprefix("sha256:")
