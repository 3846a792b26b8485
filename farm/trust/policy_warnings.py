"""What is valid in a policy and probably not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.trust.policy_text import worker_key_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.trust.policy import Policy


def policy_warnings(policy: Policy, arches: Iterable[str], *, now: float) -> Iterator[str]:
    """A line for each thing that a farm for these architectures lacks, and for each key with two uses."""
    if not any(one.counts(now) for one in policy.maintainers):
        yield "no maintainer: nobody can order a build (farm policy add maintainer)"
    for arch in arches:
        count = sum(arch in one.arches and one.counts(now) for one in policy.workers)
        if not count:
            yield f"no worker for {arch}: no image of it counts as built (farm policy add worker)"
        elif count < policy.attestations:
            yield f"attestations: {policy.attestations} are demanded, and {arch} has only {count} worker(s)"
    if "cosign" in policy.signatures and not policy.cosign_keys:
        yield "signatures: cosign is demanded, and cosign-keys has no key"
    yield from _reused(policy)


def _reused(policy: Policy) -> Iterator[str]:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - as where keys are read
        load_pem_public_key,
        load_ssh_public_key,
    )

    users = {one.key: f"worker {one.name}" for one in policy.workers}
    others = [
        (f"maintainer {one.name}", worker_key_text(load_ssh_public_key(one.key.encode())))
        for one in policy.maintainers
    ]
    others += [
        ("cosign-keys", worker_key_text(load_pem_public_key(one.encode()))) for one in policy.cosign_keys
    ]
    for user, key in others:
        first = users.setdefault(key, user)
        if first != user:
            yield f"{first} and {user} have the same key: whoever has it can do both"
