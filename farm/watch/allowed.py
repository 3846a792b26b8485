"""Which commits may be built: those on a protected branch, and those that a maintainer has signed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm.errors import PolicyError, TrustDeniedError
from farm.trust.ssh_signatures import COMMIT_SIGNATURES, verify

if TYPE_CHECKING:
    from farm.trust.policy import Maintainer, Policy

_HEADER = b"gpgsig "
_SSH = b"-----BEGIN SSH SIGNATURE-----"


def signer(commit: bytes, policy: Policy) -> Maintainer:
    """The maintainer whose SSH key signed a commit object, and counts now.

    Raises:
        TrustDeniedError: nobody did, or somebody else; it says who must.
    """
    signed, signature = split_signature(commit)
    if not signature.startswith(_SSH):
        raise TrustDeniedError(
            "the commit has no SSH signature", hint="a maintainer of the policy must sign it: git commit -S"
        )
    keys = [one.key for one in policy.maintainers if one.counts(time.time())]
    key = verify(signed, signature.decode("ascii", "replace"), keys, COMMIT_SIGNATURES)
    found = policy.maintainer_of(key)
    if found is None:
        raise PolicyError("the policy has changed meanwhile")
    return found


def split_signature(commit: bytes) -> tuple[bytes, bytes]:
    """What is signed of a commit object, and the signature: https://git-scm.com/docs/gitformat-signature."""
    head, blank, message = commit.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    inside = False
    for line in head.split(b"\n"):
        inside = line.startswith(_HEADER) or (inside and line.startswith(b" "))
        if inside:
            signature.append(line.removeprefix(_HEADER) if line.startswith(_HEADER) else line[1:])
        else:
            kept.append(line)
    return b"\n".join(kept) + blank + message, b"\n".join(signature) + b"\n"
