"""The tasks that publish one package, and that settle it when a job failed."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import Ignore

from farm.errors import (
    FarmError,
    LeaseLostError,
    NotUnderstoodError,
    StateUnavailableError,
    TrustDeniedError,
)
from farm.model import ArchImage, PackageState
from farm.registry.publish_index import IndexPublication
from farm.registry.release_tags import prepare_release, release
from farm.scheduling import coordinator
from farm.scheduling.celery_app import PUBLISH, SETTLE
from farm.state import leases, transitions
from farm.state.records import PackagePatch
from farm.state.run_handles import PackageHandle, RunHandle
from farm.state.runs import read_jobs, read_package
from farm.system.at_once import at_once
from farm.trust.attested_builds import ImageOrigin, OrderedBuild
from farm.trust.image_choice import image_choice
from farm.trust.signer import SignTarget, overwritten
from farm.trust.tagged_origin import is_of_arch, is_plain
from farm.trust.verified_images import ImageVerifier, as_attested, unverified
from tasks.lease_execution import record_step, run_recorded, still_owned, under_lease
from tasks.orders import read_ordered_work
from tasks.reject import refuse_unknown, reject
from tasks.retries import retry_temporary, wait_for_redis, within_attempt
from tasks.worker_context import worker_context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery import Task

    from farm.model import Copy, Descriptor, PackageWork
    from farm.registry.client import Manifest, Registry
    from farm.state.leases import HeldLease
    from farm.state.records import PackageRecord
    from farm.trust.image_choice import ImageChoice
    from farm.trust.signer import SignedName, Signer
    from farm.trust.verified_images import VerifiedImage
    from tasks.orders import OrderedWork
    from tasks.worker_context import WorkerContext

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublishExecution:
    """One package on one publisher."""

    context: WorkerContext
    handle: PackageHandle
    ordered: OrderedWork
    built: tuple[ArchImage, ...]
    """The images that this run built, as the message says: a hint where to look."""

    @property
    def work(self) -> PackageWork:
        """What the order says."""
        return self.ordered.work

    def wait_for(self, holder: str) -> None:
        """Record that the package waits for another one that is published to the same repository."""
        patch = PackagePatch(waiting_for=holder, token="", lease=leases.index_lease(self.work.reference))
        transitions.move_package(
            self.handle, PackageState.BUILDING, patch, expected_states=[PackageState.BUILDING]
        )

    def run(self, held: HeldLease) -> Descriptor | None:
        """Publish under a lease, and record how it ended; returns the index, if one was asked for."""
        try:
            self._accept(held)
            descriptor = run_recorded(
                lambda: self._attempts(held),
                lambda error: self._fail(error, held),
                stopped=held.stopped,
                title=str(self.handle),
                hint="its traceback is in the publisher's log",
            )
            self._move(self._success, PackagePatch(index=descriptor), held)
        except LeaseLostError as error:
            raise Ignore(str(error)) from error
        return descriptor

    def _accept(self, held: HeldLease) -> None:
        token = held.lease.token
        patch = PackagePatch(token=token, lease=held.lease.name)
        if not transitions.move_package(self.handle, PackageState.PUBLISHING, patch):
            raise LeaseLostError(f"{self.handle}: was published or cancelled meanwhile")
        held.renew_while(lambda: still_owned(read_package(self.handle), token))

    def _move(self, to: PackageState, patch: PackagePatch, held: HeldLease) -> None:
        def move() -> PackageRecord | None:
            moved = transitions.move_package(self.handle, to, patch, expected_token=held.lease.token)
            return moved or read_package(self.handle)

        record_step(move, to, held, title=str(self.handle))

    def _fail(self, error: FarmError, held: HeldLease) -> FarmError:
        recorded = type(error)(f"{self.handle}: {error.message}", hint=error.hint)
        self._move(PackageState.FAILED, PackagePatch(error=recorded), held)
        coordinator.end_dependents(self.handle)
        return recorded

    @property
    def _success(self) -> PackageState:
        if self.work.images_only:
            return PackageState.PUSHED
        return PackageState.SIGNED if self.work.sign else PackageState.PUBLISHED

    def _attempts(self, held: HeldLease) -> Descriptor | None:
        if self.work.images_only:
            return None
        return retry_temporary(lambda: self._attempt(held), stop=held.stopped)

    def _attempt(self, held: HeldLease) -> Descriptor:
        signer, registry = self.context.signer, within_attempt(self.context.registry)
        publish = self._release if self.work.copies else self._publish
        return publish(held, signer, registry)

    def _release(self, held: HeldLease, signer: Signer, registry: Registry) -> Descriptor:
        """Publish everything under its further tag, or nothing; then sign it."""
        copies = self.work.copies
        # The images of a release are signed under its tag. What it is made of is signed under its source.
        to_sign = [copy.target for copy in copies if copy.sign]
        signed = signer.ready([*to_sign, *(copy.source for copy in copies if copy.sign)]) if to_sign else {}
        prepared = prepare_release(registry, copies)

        def verify(copy: Copy) -> tuple[VerifiedImage, ...]:
            return self._verify_copy(registry, copy, prepared.manifests[copy.target], signed)

        verified = [one for found in at_once(verify, copies) for one in found]
        self._check(held)
        released = release(registry, prepared)
        if to_sign:
            self._check(held)
            signer.attest(as_attested(verified))
            signer.sign(SignTarget.of(reference, released[reference]) for reference in to_sign)
        return released[self.work.reference]

    def _publish(self, held: HeldLease, signer: Signer, registry: Registry) -> Descriptor:
        target = self.work.reference
        verifier = self._verifier(registry, ImageOrigin(target, self.work.tree))
        with ThreadPoolExecutor(1) as pool:
            # While the signer is asked; an error is left to whoever needs what could not be read.
            pool.submit(verifier.read_ahead, self.built)
            signed = signer.ready([target]) if self.work.sign else {}
        verified = self.ordered.verified
        builds = {
            job.arch: OrderedBuild.of(verified.digest, verified.order.created, job) for job in self.work.jobs
        }
        choice = image_choice(verifier, signed.get(target.name), log.warning, builds)
        publication = IndexPublication(
            registry,
            target,
            self.built,
            self.work.existing,
            self._required,
            choice.choose,
            choice.why_missing,
        )
        return publication.publish(
            check_lease=lambda: self._check(held),
            sign=lambda index: self._sign(signer, index, choice),
            stop=held.stopped,
        )

    @property
    def _required(self) -> Sequence[str]:
        """The architectures that the index must have: of a partial one, those that the order names."""
        if not self.work.partial:
            return self.work.arches
        return [*(job.arch for job in self.work.jobs), *(image.arch for image in self.work.existing)]

    def _sign(self, signer: Signer, index: Descriptor, choice: ImageChoice) -> None:
        """Sign an index, and last of all its tag: what is signed is complete."""
        if self.work.sign:
            signer.attest(as_attested(choice.chosen.values()))
            signer.sign([SignTarget.of(self.work.reference, index)])

    def _verifier(self, registry: Registry, origin: ImageOrigin) -> ImageVerifier:
        ordered = self.ordered.verified.order.created
        adopted = dict.fromkeys(self.work.adopted, ordered)
        return ImageVerifier(registry, self.context.policy, origin, adopted)

    def _verify_copy(
        self, registry: Registry, copy: Copy, manifest: Manifest, signed: Mapping[str, SignedName]
    ) -> tuple[VerifiedImage, ...]:
        """The images of what gets a further tag, as far as their workers' statements are not signed yet.

        Refuses what is not signed under the source's tag, unless workers attest it as it is, or the order
        adopts it; and what would replace something that is signed.
        """
        digest, known = manifest.descriptor.digest, signed.get(copy.source.name) if copy.sign else None
        for reference in (copy.target, *([] if copy.digest else [copy.source])):
            if error := overwritten(reference, digest, known):
                raise error
        known_as = known.tags.get(str(copy.source.tag)) if known and not copy.arch else None
        if digest in self.work.adopted or (known_as and known_as.digest == digest):
            return ()
        verifier = self._verifier(registry, ImageOrigin(copy.source, copy.tree))
        lacking = unverified(verifier, manifest, copy.arch)
        if lacking or not (is_plain(manifest) and is_of_arch(manifest, copy.arch)):
            why = verifier.why_not(lacking[0]) if lacking else "it is not as it was built"
            raise TrustDeniedError(
                f"{copy.target.familiar}: {', '.join(lacking) or digest} of {copy.source.familiar}: {why}",
                hint="push the package again; if that does not help, somebody changes the tag",
            )
        return verifier.verified if copy.sign else ()

    def _check(self, held: HeldLease) -> None:
        """Check that the lease is still held, right before something is published."""
        wait_for_redis(held.check, stop=held.stopped)


@shared_task(name=PUBLISH, bind=True, max_retries=1, throws=(FarmError,))
def publish_manifest(
    task: Task[..., Any], images: list[dict[str, Any]], *, run: str, package: str, **unknown: object
) -> dict[str, Any]:
    """Publish a package whose jobs have all succeeded; returns the index's descriptor as JSON.

    If no index is asked for, it only records that the images are pushed, and returns an empty object.
    """
    context = worker_context()
    handle = RunHandle(context.store, run).package(package)
    record = read_package(handle)
    if record.state.ended:
        return _ended_before(task, handle, record)
    try:
        refuse_unknown(unknown)
        ordered = read_ordered_work(context, handle)
    except NotUnderstoodError as error:
        reject(str(handle), error)
    except TrustDeniedError as error:
        raise _refuse(handle, error) from error
    _require_jobs_done(handle, ordered.work)
    execution = PublishExecution(context, handle, ordered, _hints(images))
    name = leases.index_lease(ordered.work.reference)
    with under_lease(task, context, name, run=run, wait=execution.wait_for) as held:
        descriptor = execution.run(held)
    try:
        coordinator.start_dependents(task.app, handle)
    except (StateUnavailableError, NotUnderstoodError) as error:
        # The package stays due, so the reconciler starts them.
        log.warning("the dependents of %s are not started yet: %s", package, error)
    return descriptor.to_json() if descriptor else {}


def _require_jobs_done(handle: PackageHandle, work: PackageWork) -> None:
    """Ignore a message that came before the jobs have succeeded: no farm has sent it."""
    jobs = read_jobs(handle, [job.arch for job in work.jobs])
    if len(jobs) != len(work.jobs) or not all(job.state.succeeded for job in jobs):
        log.warning(
            "%s of %s: ignored a publication that was sent before its builds ended", handle, handle.run
        )
        raise Ignore(f"the builds of {handle} have not succeeded")


def _hints(images: Any) -> tuple[ArchImage, ...]:
    """The images that a message names; what cannot be read is no hint."""
    try:
        return tuple(map(ArchImage.from_json, images))
    except (FarmError, ValueError, TypeError, KeyError, AttributeError):
        return ()


def _refuse(handle: PackageHandle, error: TrustDeniedError) -> FarmError:
    """Record that a package has no valid order; returns the error as it was recorded."""
    log.warning("%s of %s is not published: %s", handle, handle.run, error)
    recorded = type(error)(f"{handle}: {error.message}", hint=error.hint)
    coordinator.end_package(handle, recorded)
    return recorded


def _ended_before(task: Task[..., Any], handle: PackageHandle, record: PackageRecord) -> dict[str, Any]:
    """Return what the task returned before, and start the dependents if that was not done."""
    if not record.state.succeeded:
        raise Ignore(f"{handle} has ended: {record.state}")
    coordinator.start_dependents(task.app, handle)
    return record.index.to_json() if record.index else {}


@shared_task(name=SETTLE)
def settle_package(*, run: str, package: str, **unknown: object) -> None:
    """Settle a package whose chord failed, unless one of its jobs was only lost, and has not ended."""
    context = worker_context()
    try:
        refuse_unknown(unknown)
        coordinator.settle(RunHandle(context.store, run).package(package))
    except NotUnderstoodError as error:
        reject(package, error)
