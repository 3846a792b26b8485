"""Builds by several workers, where the policy demands that so many have made the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.attestation.check import attestations
from farm.errors import BuildFailedError, LeftToAnotherError, NoWorkerError
from farm.registry.compare_images import compare_images
from farm.registry.index import without_attestations
from farm.registry.published_images import tagged_image
from farm.state.workers import known_workers, others
from farm.trust.attested_builds import ImageOrigin, keys_of, of_origin, worker_keys

if TYPE_CHECKING:
    from farm.model import ArchImage, Job
    from farm.registry.client import Manifest, Registry
    from tasks.orders import OrderedJob
    from tasks.worker_context import WorkerContext

_LINES, _FILES = 6, 3
"""Lines of differences in an error, and files of each layer."""


class FirstBuild(NamedTuple):
    """What other workers have made of a job, and too few of them."""

    manifest: Manifest
    """What the architecture tag refers to."""
    digest: str
    """Of the image."""
    workers: tuple[str, ...]


def first_build(context: WorkerContext, ordered: OrderedJob, registry: Registry) -> FirstBuild | None:
    """What other workers have made of a job, for this one to make the same; None if it is the first.

    Raises:
        LeftToAnotherError: this worker is one of them.
        NoWorkerError: it is, and there is no other one.
    """
    job, policy = ordered.job, context.policy
    target = job.reference.for_arch(job.arch)
    if policy.attestations == 1:
        return None
    manifest, image = registry.manifest(target), tagged_image(registry, target, job.arch)
    if manifest is None or image is None:
        return None
    digest = without_attestations(image)[0].digest
    found = of_origin(
        attestations(registry, job.reference, digest, worker_keys(policy), job.arch),
        ImageOrigin(job.reference, job.tree),
    )
    same = [
        one
        for one in found
        if one.provenance.order == ordered.verified.digest
        or (not job.force and one.provenance.recipe == job.recipe)
    ]
    if not same:
        return None
    if context.worker_key.public in keys_of(same):
        raise leave(context, job, workers=len(keys_of(found)))
    return FirstBuild(manifest, digest, tuple(dict.fromkeys(one.worker for one in same)))


def require_same(registry: Registry, job: Job, first: FirstBuild, image: ArchImage) -> None:
    """Refuse an image that is not what other workers have made; their image gets its tag back.

    Raises:
        BuildFailedError: it names what differs.
    """
    digest, target = without_attestations(image)[0].digest, job.reference.for_arch(job.arch)
    if digest == first.digest:
        return
    registry.put_manifest(target, first.manifest.descriptor.media_type, first.manifest.body)
    lines = [line.strip() for line in compare_images(registry, target, first.digest, digest).lines(_FILES)]
    more = "; and more" if len(lines) > _LINES else ""
    others_made = f"not the bytes that {', '.join(first.workers)} made, but {digest}"
    raise BuildFailedError(
        f"{others_made}: {'; '.join(lines[:_LINES])}{more}",
        hint="the policy demands that several workers make the same: build without clock and network",
    )


def require_enough(context: WorkerContext, job: Job, registry: Registry, image: ArchImage) -> None:
    """Leave a job that this worker has built and attested to others, until enough of them have.

    Raises:
        LeftToAnotherError: another worker must build it too.
        NoWorkerError: there is no other one.
    """
    policy = context.policy
    if policy.attestations == 1:
        return
    digest = without_attestations(image)[0].digest
    found = attestations(registry, job.reference, digest, worker_keys(policy), job.arch)
    # The registry may show the attestation of this worker only later.
    keys = keys_of(of_origin(found, ImageOrigin(job.reference, job.tree))) | {context.worker_key.public}
    if len(keys) < policy.attestations:
        raise leave(context, job, workers=len(keys))


def leave(context: WorkerContext, job: Job, *, workers: int) -> LeftToAnotherError | NoWorkerError:
    """The error that leaves a job to another worker, or says that there is none."""
    done = f"attested by {workers} of {context.policy.attestations} workers"
    if others(known_workers(context.store), job.arch, [context.worker_key.fingerprint]):
        return LeftToAnotherError(f"{job.title}: {done}; another one builds it too")
    return NoWorkerError(
        f"{done}, and no other worker accepts jobs for {job.arch}",
        hint="start one whose key the policy names, then farm retry; or change `attestations` of the policy",
    )
