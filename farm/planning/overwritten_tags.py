"""Signed tags that now refer to something else than what is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.registry import read_back
from farm.system.at_once import at_once
from farm.system.deadline import Deadline
from farm.trust.signer import overwritten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.errors import TagOverwrittenError
    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.trust.signer import SignedName, Signer

_SETTLING = 1.0
"""Seconds that a publisher may take between the push of an index and its signature."""


def find_overwritten(
    registry: Registry, signer: Signer, tags: Iterable[Reference], signings: Mapping[str, SignedName]
) -> dict[Reference, TagOverwrittenError]:
    """The errors for those of these tags that refer to something other than what is signed.

    A publisher pushes an index before it signs it. So what differs is read again, from registry and signer,
    until it agrees, or has had the time to.
    """
    suspects = [tag for tag in tags if _is_signed(tag, signings)]
    known = signings

    def read() -> dict[Reference, TagOverwrittenError]:
        nonlocal suspects, known
        found = at_once(registry.head, suspects)
        pairs = zip(suspects, found, strict=True)
        errors = {
            tag: error
            for tag, now in pairs
            if (error := overwritten(tag, now.digest if now else None, known.get(tag.name)))
        }
        suspects = list(errors)
        if suspects:
            known = signer.signed(suspects)
        return errors

    return read_back.until(lambda errors: not errors, read, Deadline.after(_SETTLING)) if suspects else {}


def _is_signed(tag: Reference, signings: Mapping[str, SignedName]) -> bool:
    return tag.name in signings and bool(signings[tag.name].digests(str(tag.tag)))
