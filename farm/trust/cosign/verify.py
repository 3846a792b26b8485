"""Signatures as a third party verifies them: with public keys, and nothing of this machine's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.trust.cosign.keys import PublicKey
from farm.trust.cosign.signer import signature_under

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.model import Reference
    from farm.registry.client import Registry


def signed_by_keys(registry: Registry, reference: Reference, keys: Iterable[str]) -> str | None:
    """The digest that NAME:TAG refers to, if one of these public keys (PEM) has signed it under that tag.

    Raises:
        TrustError: a key is none, or the signatures cannot be read.
    """
    for pem in keys:
        found = signature_under(registry, reference, PublicKey.parse(pem.encode(), "cosign-keys"))
        if isinstance(found, TrustError):
            raise found
        if found:
            return found.digest
    return None
