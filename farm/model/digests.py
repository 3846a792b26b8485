"""Digests of content, and the hash of a package of several trees.

A module of its own, since OpenSSL takes 4 ms to load, and the tag of a package without changes needs no hash
but git's.

https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def digest_of(content: bytes) -> str:
    """The digest of bytes in memory."""
    return digest_from_hex(hashlib.sha256(content).hexdigest())


def digest_from_hex(hexadecimal: str) -> str:
    """The digest with this hexadecimal SHA-256."""
    return f"sha256:{hexadecimal}"


def hex_of(digest: str) -> str:
    """The hexadecimal part of a digest, which names files and signatures."""
    return digest.removeprefix("sha256:")


def combined_sha1(hashes: Sequence[str]) -> str:
    """The hash of a package that has several trees."""
    return hashlib.sha1("".join(hashes).encode(), usedforsecurity=False).hexdigest()
