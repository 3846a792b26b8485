"""The attestation of an image that this worker has just pushed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm.attestation.check import attest as sign
from farm.attestation.statement import Provenance
from farm.registry.index import is_attestation, without_attestations
from farm.trust.attested_builds import MEMBERS, ORDERED
from tasks.check_bases import materials
from tasks.retries import within_attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from farm.model import ArchImage, Job
    from tasks.orders import OrderedJob
    from tasks.worker_context import WorkerContext

_OF_STATE = ("run", "package")
"""The fields of a job that say where it is recorded."""


def attest(
    context: WorkerContext,
    ordered: OrderedJob,
    image: ArchImage,
    *,
    started: float,
    bases: Iterable[tuple[str, str]],
) -> None:
    """State what was built from what, and attach it to the image in its registry."""
    job, verified = ordered.job, ordered.verified
    subject = without_attestations(image)[0]
    provenance = Provenance(
        image=subject.digest,
        name=job.reference.name,
        tag=job.reference.tag or "",
        arch=job.arch,
        tree=job.tree,
        recipe=job.recipe,
        order=verified.digest,
        run=job.run,
        parameters=_parameters(job, image, ordered=verified.order.created),
        materials=(*_sources(job), *materials(bases)),
        builder=context.worker,
        started=started,
        finished=time.time(),
        fingerprint=context.worker_key.fingerprint,
    )
    sign(within_attempt(context.registry), job.reference, subject, provenance, context.worker_key)


def _parameters(job: Job, image: ArchImage, *, ordered: float) -> Mapping[str, Any]:
    work = {name: value for name, value in job.to_json().items() if name not in _OF_STATE}
    members = [one.digest for one in image.descriptors if is_attestation(one)]
    return {"job": work, ORDERED: ordered, MEMBERS: members}


def _sources(job: Job) -> list[tuple[str, str]]:
    """The build context and, where it is known, the commit."""
    found = [("farm:context", job.context)]
    labels = dict(job.labels)
    source, revision = (labels.get(f"org.opencontainers.image.{name}") for name in ("source", "revision"))
    return [(f"git+{source}", f"gitCommit:{revision}"), *found] if source and revision else found
