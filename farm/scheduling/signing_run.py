"""Order the signature of what exists in a registry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import AttestationError, InputError
from farm.model import Reference, Run
from farm.planning.rebuild import find_attested
from farm.planning.signing import signing_work
from farm.scheduling.submission import submit_signed
from farm.state.run_names import new_name
from farm.system.identity import user_at_host
from farm.trust.own_rights import check_own_works
from farm.trust.places import current_policy
from farm.trust.signer import SignTarget, make_signer, overwritten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.attestation.check import Attestation
    from farm.model import PackageWork
    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store
    from farm.trust.policy import Policy


class SigningPlan(NamedTuple):
    """Tags, and what there is to sign of them."""

    targets: tuple[SignTarget, ...]
    works: tuple[PackageWork, ...]
    """For those that are not signed yet."""


def read_targets(registry: Registry, texts: Iterable[str]) -> tuple[SignTarget, ...]:
    """What tags refer to now.

    Raises:
        InputError: one is no tag.
        RegistryError: it does not exist, or the registry cannot be asked.
    """
    references = [_tag(text) for text in dict.fromkeys(texts)]
    manifests = registry.at_once(registry.existing, references)
    pairs = zip(references, manifests, strict=True)
    return tuple(SignTarget.of(reference, manifest.descriptor) for reference, manifest in pairs)


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
    signer, policy = make_signer(settings, registry), current_policy(settings)
    names = {_tag(text).name for text in texts}
    # The key is needed where this machine publishes, on a private farm.
    signer.check_settings(sorted(names), to_sign=settings.broker is None)
    targets = read_targets(registry, texts)
    known = signer.signed(map(reference_of, targets))
    for target in targets:
        if error := overwritten(reference_of(target), target.digest, known[target.name]):
            raise error
        if refusal := known[target.name].refusal:
            raise refusal
    works = (
        signing_work(reference_of(one), one.digest, _attested(registry, policy, one), adopt=adopt)
        for one in targets
        if one.tag not in known[one.name].tags
    )
    return SigningPlan(targets, tuple(works))


def reference_of(target: SignTarget) -> Reference:
    """NAME:TAG."""
    return Reference.parse(f"{target.name}:{target.tag}")


def _attested(registry: Registry, policy: Policy, target: SignTarget) -> Mapping[str, Attestation]:
    try:
        return find_attested(registry, policy, reference_of(target).with_digest(target.digest))
    except AttestationError:
        return {}


def submit_signing(works: Sequence[PackageWork], settings: Settings, store: Store) -> RunHandle:
    """Submit the works of a plan, under an order that is signed here.

    Raises:
        TrustDeniedError: the maintainer of this machine may not order it.
    """
    check_own_works(settings, works)
    run = Run(new_name(store), user_at_host(), time.time(), tuple(works))
    return submit_signed(run, settings, store)
