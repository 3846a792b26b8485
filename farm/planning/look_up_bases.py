"""What the tags of base images refer to now, and whether that counts as built by the farm."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.errors import FarmError, TrustError, TrustUnavailableError
from farm.planning.bases import foreign_base
from farm.planning.overwritten_tags import find_overwritten
from farm.registry.client import open_registry
from farm.system.at_once import at_once
from farm.trust.places import current_policy
from farm.trust.signer import SignedName, make_signer, overwritten
from farm.trust.tagged_origin import find_origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.errors import TagOverwrittenError
    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.trust.signer import Signature, Signer


_Names = dict[str, SignedName | TrustError]


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
        read = zip(references, at_once(registry.manifest, references), strict=True)
        pairs = [(reference, manifest) for reference, manifest in read if manifest]
        digests = {reference: manifest.descriptor.digest for reference, manifest in pairs}
        origins = at_once(lambda pair: find_origin(registry, policy, *pair), pairs)
        names: _Names = {}
        wrong: dict[Reference, TagOverwrittenError] = {}
        if signed and digests:
            digests, names, wrong = _ask_signers(registry, make_signer(settings, registry), digests)
    foreign: dict[Reference, FarmError] = {}
    for (reference, _), origin in zip(pairs, origins, strict=True):
        known_name = names.get(reference.name)
        signature = _signature(known_name, reference)
        if reference in wrong or origin or (signature and signature.digest == digests[reference]):
            continue
        unread = known_name if isinstance(known_name, TrustError) else None
        foreign[reference] = unread or foreign_base(reference, may_be_signed=signed)
    return FoundBases(digests, foreign, list(wrong.values()))


def _ask_signers(
    registry: Registry, signer: Signer, digests: dict[Reference, str]
) -> tuple[dict[Reference, str], _Names, dict[Reference, TagOverwrittenError]]:
    """What tags refer to, what is signed of their repositories, and the errors for those signed otherwise."""
    names = _read_signatures(signer, list(digests))
    known = {name: one for name, one in names.items() if isinstance(one, SignedName)}
    suspects = [one for one, digest in digests.items() if overwritten(one, digest, known.get(one.name))]
    wrong = find_overwritten(registry, signer, suspects, known) if suspects else {}
    settled = [one for one in suspects if one not in wrong]
    if settled:
        # A publisher was about to sign them. What the tags refer to by now, nobody has verified.
        names = _read_signatures(signer, list(digests))
        found = {one: _signature(names.get(one.name), one) for one in settled}
        digests = digests | {one: signature.digest for one, signature in found.items() if signature}
    return digests, names, wrong


def _signature(known: SignedName | TrustError | None, reference: Reference) -> Signature | None:
    return known.tags.get(str(reference.tag)) if isinstance(known, SignedName) else None


def _read_signatures(signer: Signer, references: Sequence[Reference]) -> _Names:
    """What is signed of each repository, or why that cannot be read."""
    try:
        return dict(signer.signed(references))
    except TrustUnavailableError:
        raise
    except TrustError as error:
        names = list(dict.fromkeys(reference.name for reference in references))
        if len(names) == 1:
            return {names[0]: error}
    found: _Names = {}
    for name in names:
        found |= _read_signatures(signer, [one for one in references if one.name == name])
    return found
