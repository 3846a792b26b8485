"""What the tags of base images refer to now, and whether that counts as built by the farm."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.errors import FarmError, TrustError, TrustUnavailableError
from farm.planning.bases import foreign_base
from farm.registry.client import open_registry
from farm.trust.places import current_policy
from farm.trust.signer import make_signer, overwritten
from farm.trust.tagged_origin import find_origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Reference
    from farm.settings import Settings
    from farm.trust.signer import SignedName, Signer


class FoundBases(NamedTuple):
    """What is known of base images that are named by tag."""

    digests: Mapping[Reference, str]
    """What each tag refers to. Tags that do not exist are left out: a build that needs one says so."""
    foreign: Mapping[Reference, FarmError]
    """The errors for those that neither workers attest nor signers sign."""
    refusals: Sequence[FarmError]
    """The errors for tags that are signed as something else."""


def look_up_bases(references: Sequence[Reference], settings: Settings, *, signed: bool) -> FoundBases:
    """What these tags refer to now, and which of that somebody else has made; `signed` asks the signers, too.

    Raises:
        RegistryError, TrustUnavailableError: the registry or a signer cannot be asked.
    """
    if not references:
        return FoundBases({}, {}, ())
    policy = current_policy(settings)
    with open_registry(settings) as registry:
        read = zip(references, registry.at_once(registry.manifest, references), strict=True)
        manifests = {reference: manifest for reference, manifest in read if manifest}
        pairs = list(manifests.items())
        origins = registry.at_once(lambda pair: find_origin(registry, policy, *pair), pairs)
        names = _read_signatures(make_signer(settings, registry), [*manifests]) if signed else {}
    digests = {reference: manifest.descriptor.digest for reference, manifest in pairs}
    foreign: dict[Reference, FarmError] = {}
    refusals: list[FarmError] = []
    for (reference, _), origin in zip(pairs, origins, strict=True):
        known = names.get(reference.name)
        name = known if not isinstance(known, TrustError) else None
        if error := overwritten(reference, digests[reference], name):
            refusals.append(error)
        elif origin is None and not (name and str(reference.tag) in name.tags):
            unread = known if isinstance(known, TrustError) else None
            foreign[reference] = unread or foreign_base(reference, may_be_signed=signed)
    return FoundBases(digests, foreign, refusals)


def _read_signatures(signer: Signer, references: Sequence[Reference]) -> dict[str, SignedName | TrustError]:
    """What is signed of each repository, or why that cannot be read."""
    found: dict[str, SignedName | TrustError] = {}
    for name in dict.fromkeys(reference.name for reference in references):
        try:
            found |= signer.signed(one for one in references if one.name == name)
        except TrustUnavailableError:
            raise
        except TrustError as error:
            found[name] = error
    return found
