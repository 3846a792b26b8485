"""Which attestations count: those of workers that may build the architecture, about exactly this image."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farm.attestation.envelope import ENVELOPE_TYPE, open_envelope, seal
from farm.attestation.statement import PREDICATE_TYPE, Provenance, from_statement, to_statement
from farm.attestation.worker_key import fingerprint
from farm.errors import AttestationError
from farm.registry.referrers import attach, find_each
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from farm.attestation.worker_key import WorkerPrivateKey
    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry

log = logging.getLogger(__name__)


class TrustedWorker(Protocol):
    """What a policy says about a worker's key."""

    @property
    def name(self) -> str:
        """The worker's name."""

    @property
    def arches(self) -> Collection[str]:
        """The architectures that the worker may build."""

    @property
    def until(self) -> float | None:
        """The Unix time after which its statements do not count, if there is one."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """A statement about an image that counts."""

    provenance: Provenance
    key: str
    """The public key that signed it."""
    worker: str
    """The name that the policy has for this key."""
    envelope: bytes


def attest(
    registry: Registry, reference: Reference, image: Descriptor, provenance: Provenance, key: WorkerPrivateKey
) -> Descriptor:
    """State the provenance of an image that was pushed, and attach it; returns the artifact's descriptor."""
    envelope = seal(to_statement(provenance), key)
    return attach(registry, reference, image, ENVELOPE_TYPE, envelope, {"predicateType": PREDICATE_TYPE})


def attestations(
    registry: Registry, reference: Reference, digest: str, keys: Mapping[str, TrustedWorker], arch: str
) -> tuple[Attestation, ...]:
    """The attestations in a registry that count for an image of an architecture, the newest first.

    `keys` are the public keys of a policy. An image without any was not built by a worker that may build it.

    Raises:
        RegistryUnavailableError: the registry does not answer, so there may be some.
    """
    for envelopes in find_each(registry, reference, digest, ENVELOPE_TYPE):
        if counted := acceptable(envelopes, keys, name=reference.name, digest=digest, arch=arch):
            return counted
    return ()


def attestations_of_all(
    registry: Registry, wanted: Sequence[tuple[Reference, str, str]], keys: Mapping[str, TrustedWorker]
) -> list[tuple[Attestation, ...]]:
    """The attestations of each (reference, digest, architecture), in this order."""
    return at_once(lambda one: attestations(registry, one[0], one[1], keys, one[2]), wanted)


def acceptable(
    envelopes: Iterable[bytes], keys: Mapping[str, TrustedWorker], *, name: str, digest: str, arch: str
) -> tuple[Attestation, ...]:
    """The attestations among these envelopes that count for the image `digest` of `name`, the newest first.

    One key may have signed several: to count workers, count keys.
    """
    allowed = {key: worker for key, worker in keys.items() if arch in worker.arches}
    found = []
    for envelope in envelopes:
        try:
            found.append(_accepted(envelope, allowed, (name, digest, arch)))
        except AttestationError as error:
            log.info("%s@%s: an attestation does not count: %s", name, digest, error)
    return tuple(sorted(found, key=lambda one: (-one.provenance.finished, one.envelope)))


def _accepted(
    envelope: bytes, allowed: Mapping[str, TrustedWorker], about: tuple[str, str, str]
) -> Attestation:
    statement, key = open_envelope(envelope, allowed)
    said, worker = from_statement(statement), allowed[key]
    if (said.name, said.image, said.arch) != about:
        raise AttestationError(
            f"{worker.name} has stated something else: {said.name}@{said.image} {said.arch}"
        )
    if said.fingerprint not in ("", fingerprint(key)):
        raise AttestationError(f"{worker.name} has signed what another worker states")
    if worker.until is not None and said.finished > worker.until:
        raise AttestationError(f"{worker.name} has made it after its key was removed from the policy")
    return Attestation(said, key, worker.name, envelope)
