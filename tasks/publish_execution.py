"""One execution of a publication: the index assembled, pushed, signed and recorded; or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery.exceptions import Ignore

from farm.errors import LeaseLostError
from farm.model import PackageState
from farm.registry.publish_index import IndexPublication
from farm.registry.release_tags import prepare_release, release
from farm.scheduling import coordinator
from farm.state import leases, transitions
from farm.state.records import Patch
from farm.state.run_reader import read_package
from farm.trust.signer import SignTarget
from tasks.lease_execution import record_step, run_recorded, still_owned
from tasks.retries import retry_temporary, wait_for_redis, within_attempt

if TYPE_CHECKING:
    from farm.errors import FarmError
    from farm.model import ArchImage, Descriptor, PackageWork, Reference
    from farm.state.leases import HeldLease
    from farm.state.run_handles import PackageHandle
    from farm.trust.signer import Signer
    from tasks.worker_context import WorkerContext

_TRACEBACK = "its traceback is in the publisher's log"


@dataclass(frozen=True, slots=True)
class PublishExecution:
    """One package on one publisher."""

    context: WorkerContext
    handle: PackageHandle
    work: PackageWork
    built: tuple[ArchImage, ...]
    """The images that this run built."""

    def wait_for(self, holder: str) -> None:
        """Record that the package waits for another one that is published to the same repository."""
        patch = Patch(waiting_for=holder, token="", lease=leases.index_lease(self.work.reference))
        transitions.move_package(
            self.handle, PackageState.BUILDING, patch, expected_states=[PackageState.BUILDING]
        )

    def run(self, held: HeldLease) -> Descriptor | None:
        """Publish under a lease, and record how it ended; returns the index, if one was asked for.

        Raises:
            FarmError: why it failed, as the record says.
            Ignore: the package was taken over or cancelled.
        """
        try:
            self._accept(held)
            descriptor = run_recorded(
                lambda: self._attempts(held),
                lambda error: self._fail(error, held),
                stopped=held.stopped,
                title=str(self.handle),
                hint=_TRACEBACK,
            )
            self._move(self._success, Patch(index=descriptor), held)
        except LeaseLostError as error:
            raise Ignore(str(error)) from error
        return descriptor

    def _accept(self, held: HeldLease) -> None:
        token = held.lease.token
        patch = Patch(token=token, lease=held.lease.name)
        if not transitions.move_package(self.handle, PackageState.PUBLISHING, patch):
            raise LeaseLostError(f"{self.handle}: was published or cancelled meanwhile")
        held.renew_while(lambda: still_owned(read_package(self.handle), token))

    def _move(self, to: PackageState, patch: Patch, held: HeldLease) -> None:
        token = held.lease.token
        record_step(
            lambda: transitions.move_package(self.handle, to, patch, expected_token=token),
            lambda: read_package(self.handle),
            to,
            held,
            title=str(self.handle),
        )

    def _fail(self, error: FarmError, held: HeldLease) -> FarmError:
        recorded = type(error)(f"{self.handle}: {error.message}", hint=error.hint)
        self._move(PackageState.FAILED, Patch(error=recorded), held)
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
        signer = self.context.signer
        # The images of a release are signed under its tag, and a package's under its own.
        to_sign = [copy.target for copy in self.work.copies if copy.sign] or [self.work.reference]
        if self.work.sign:
            signer.ready(reference.name for reference in to_sign)
        return self._release(held, signer, to_sign) if self.work.copies else self._publish(held, signer)

    def _release(self, held: HeldLease, signer: Signer, to_sign: list[Reference]) -> Descriptor:
        """Publish every index under its release tag, or none; then sign them."""
        registry = within_attempt(self.context.registry)
        found = prepare_release(registry, self.work.copies)
        self._check(held)
        released = release(registry, found)
        if self.work.sign:
            self._check(held)
            signer.sign(SignTarget.of(reference, released[reference]) for reference in to_sign)
        return next(iter(released.values()))

    def _publish(self, held: HeldLease, signer: Signer) -> Descriptor:
        publication = IndexPublication(
            within_attempt(self.context.registry),
            self.work.reference,
            self.built,
            self.work.existing,
            () if self.work.partial else self.work.arches,
        )
        target = self.work.reference
        return publication.publish(
            check_lease=lambda: self._check(held),
            sign=lambda index: signer.sign([SignTarget.of(target, index)]) if self.work.sign else None,
            stop=held.stopped,
        )

    def _check(self, held: HeldLease) -> None:
        """Check that the lease is still held, right before something is published."""
        wait_for_redis(held.check, stop=held.stopped)
