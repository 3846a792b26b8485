"""Order the signature of what exists in a registry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import InputError
from farm.model import Reference, Run
from farm.planning.signing import signing_work
from farm.scheduling.submission import submit_signed
from farm.state.run_names import new_name
from farm.system.at_once import at_once
from farm.system.identity import user_at_host
from farm.trust.own_rights import check_own_works
from farm.trust.places import current_policy
from farm.trust.signer import SignTarget, make_signer, overwritten
from farm.trust.tagged_origin import find_origin, is_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model import PackageWork
    from farm.registry.client import Manifest, Registry
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store
    from farm.trust.attested_builds import ImageOrigin
    from farm.trust.policy import Policy


class SigningPlan(NamedTuple):
    """Tags, and what there is to sign of them."""

    targets: tuple[SignTarget, ...]
    works: tuple[PackageWork, ...]
    """For those that are not signed yet."""


def read_targets(registry: Registry, texts: Iterable[str]) -> dict[SignTarget, Manifest]:
    """What tags refer to now.

    Raises:
        InputError: one is no tag.
        RegistryError: it does not exist, or the registry cannot be asked.
    """
    references = list(dict.fromkeys(map(_tag, texts)))
    manifests = at_once(registry.existing, references)
    pairs = zip(references, manifests, strict=True)
    return {SignTarget.of(reference, manifest.descriptor): manifest for reference, manifest in pairs}


def _tag(text: str) -> Reference:
    reference = Reference.parse(text).or_latest()
    if not reference.tag or reference.digest:
        raise InputError(f"{text}: only a tag can be signed", hint="write it as NAME:TAG")
    return reference


def plan_signing(
    registry: Registry, settings: Settings, texts: Sequence[str], *, adopt: bool = False
) -> SigningPlan:
    """The plan to sign what these tags refer to; `adopt` also what no worker has built for them.

    Raises:
        InputError, RegistryError: as `read_targets`.
        TagOverwrittenError: a tag is signed as something else.
        AttestationError: no worker has built it.
        TrustError: the signers cannot be asked, or a repository is not prepared for signing.
    """
    signer = make_signer(settings, registry)
    names = {_tag(text).name for text in texts}
    # The key is needed where this machine publishes, on a private farm.
    signer.check_settings(sorted(names), to_sign=settings.broker is None)
    targets = read_targets(registry, texts)
    known = signer.signed((one.reference for one in targets), to_sign=True)
    for target in targets:
        if error := overwritten(target.reference, target.digest, known[target.name]):
            raise error
        if refusal := known[target.name].refusal:
            raise refusal
    unsigned = [one for one in targets if one.tag not in known[one.name].tags]
    policy = current_policy(settings)
    origins = at_once(lambda one: _origin(registry, policy, one, targets[one]), unsigned)
    works = (
        signing_work(one.reference, one.digest, origin, adopt=adopt)
        for one, origin in zip(unsigned, origins, strict=True)
    )
    return SigningPlan(tuple(targets), tuple(works))


def _origin(registry: Registry, policy: Policy, target: SignTarget, manifest: Manifest) -> ImageOrigin | None:
    """For what workers have built it; None also for an index that has more than the images."""
    return find_origin(registry, policy, target.reference, manifest) if is_plain(manifest) else None


def submit_signing(works: Sequence[PackageWork], settings: Settings, store: Store) -> RunHandle:
    """Submit the works of a plan, under an order that is signed here.

    Raises:
        TrustDeniedError: the maintainer of this machine may not order it.
    """
    check_own_works(settings, works)
    run = Run(new_name(store), user_at_host(), time.time(), tuple(works))
    return submit_signed(run, settings, store)
