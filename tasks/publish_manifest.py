"""Publish one package: assemble its index, push it, sign it, and start what waited for it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import shared_task
from celery.exceptions import Ignore

from farm.errors import FarmError, LeaseLostError, StateUnavailableError, internal_error
from farm.model import ArchImage, Descriptor, PackageState, PackageWork
from farm.registry.publish_index import Publishing
from farm.registry.release import releasable, release
from farm.scheduling import coordinator
from farm.scheduling.celery_app import PUBLISH, SETTLE
from farm.state import leases, runs, transitions
from tasks.retries import outlasting, patiently
from tasks.signing import Signer
from tasks.worker_context import WorkerContext, site

if TYPE_CHECKING:
    from celery import Task

    from farm.state.records import PackageRecord


log = logging.getLogger(__name__)
_TRACEBACK = "its traceback is in the publisher's own log"


@shared_task(name=PUBLISH, bind=True, max_retries=1, throws=(FarmError,))
def publish_manifest(
    task: Task[..., Any], images: list[dict[str, Any]], *, run: str, package: str
) -> dict[str, Any]:
    """Publish a package whose builds have all landed; returns the index's descriptor as JSON.

    Where no index is asked for, it closes the books, and returns an empty object.

    Raises:
        FarmError: why it failed, in one sentence; the run's state says the same.
        Ignore: another task has this index in hand, and this one is sent again when that one ends.
    """
    here = site()
    record = runs.read_package_record(here.store, run, package)
    if record.state.ended:
        return _as_it_ended(task, record, run)
    work = runs.read_work(here.store, run, package)
    built = tuple(ArchImage.from_json(image) for image in images)
    publication = Publication(here, run, work, built)
    try:
        lease = leases.take(
            here.store,
            leases.index_lease(work.reference),
            life=here.settings.lease,
            holder=f"{run} {here.worker}",
            waiting=json.dumps(task.signature_from_request()),
        )
    except leases.BusyError as busy:
        publication.wait_behind(busy.holder)
        raise Ignore(f"{package} is being published: {busy.holder}") from busy
    with leases.held(here.store, lease, send=lambda message: coordinator.resend(task.app, message)) as keeper:
        descriptor = publication.under(keeper)
    try:
        coordinator.landed(task.app, here.store, run, package)
    except StateUnavailableError as error:
        # The package is due until its dependents are started: the reconciler does it.
        log.warning("what waits for %s is not started yet: %s", package, error)
    return descriptor.to_json() if descriptor else {}


def _as_it_ended(task: Task[..., Any], record: PackageRecord, run: str) -> dict[str, Any]:
    """What the task returned when it ran before, and the step after it once more, should that be missing."""
    if not record.state.stands:
        raise Ignore(f"{record.package} has ended: {record.state}")
    coordinator.landed(task.app, site().store, run, record.package)
    return record.index.to_json() if record.index else {}


@shared_task(name=SETTLE)
def settle_package(*, run: str, package: str) -> None:
    """Close the books of a package whose chord failed, unless a job of it is still to be sent again."""
    coordinator.settle(site().store, run, package)


@dataclass(frozen=True, slots=True)
class Publication:
    """One index in the hands of one publisher."""

    site: WorkerContext
    run: str
    work: PackageWork
    built: tuple[ArchImage, ...]

    def is_ours(self, token: str) -> bool:
        """Whether the package is published under this token, or was."""
        record = runs.read_package_record(self.site.store, self.run, self.work.package)
        return record.token == token and (record.state.stands or not record.state.ended)

    def wait_behind(self, holder: str) -> None:
        """Record that the package waits for another that is published under the same name."""
        transitions.move_package(
            self.site.store,
            self.run,
            self.work.package,
            PackageState.BUILDING,
            come_from=[PackageState.BUILDING],
            behind=holder,
            token="",
            lease=leases.index_lease(self.work.reference),
        )

    def move(self, to: PackageState, keeper: leases.Keeper, **facts: Any) -> None:
        """Record how it ended, however long Redis is away, unless the package is no longer ours."""
        store, name, token = self.site.store, self.work.package, keeper.lease.token

        def tell() -> PackageRecord | None:
            moved = transitions.move_package(store, self.run, name, to, holding=token, **facts)
            record = moved or runs.read_package_record(store, self.run, name)
            # Not moved, and yet so: an answer of Redis's was lost, not the step.
            return record if (record.state, record.token) == (to, token) else None

        if not outlasting(tell, until=keeper.stopped):
            raise self._taken_over()

    def _taken_over(self) -> Ignore:
        return Ignore(f"{self.work.package}: was taken over or cancelled")

    def under(self, keeper: leases.Keeper) -> Descriptor | None:
        """Do the work under a lease, and record how it ended."""
        if not transitions.move_package(
            self.site.store,
            self.run,
            self.work.package,
            PackageState.PUBLISHING,
            token=keeper.lease.token,
            lease=keeper.lease.name,
        ):
            raise Ignore(f"{self.work.package}: was published or cancelled meanwhile")
        keeper.only_while(lambda: self.is_ours(keeper.lease.token))
        wanted = not self.work.images_only
        try:
            descriptor = patiently(lambda: self._attempt(keeper), until=keeper.stopped) if wanted else None
        except LeaseLostError as error:
            raise Ignore(str(error)) from error
        except StateUnavailableError:
            # Of what cannot be told nothing is: once Redis is back, the reconciler gives it to somebody.
            raise
        except FarmError as error:
            if keeper.stopped.is_set() and error.retryable:
                raise self._taken_over() from error
            raise self._failed(error, keeper) from error
        except Exception as error:
            # Untold, it would be taken for the death of this publisher, and tried on four of them.
            log.exception("%s", self.work.package)
            if keeper.stopped.is_set():
                raise self._taken_over() from error
            raise self._failed(internal_error(error, hint=_TRACEBACK), keeper) from error
        self.move(self._end, keeper, index=descriptor)
        return descriptor

    def _failed(self, error: FarmError, keeper: leases.Keeper) -> FarmError:
        told = type(error)(f"{self.work.package}: {error.message}", hint=error.hint)
        self.move(PackageState.FAILED, keeper, error=told)
        coordinator.end_dependents(self.site.store, self.run, self.work.package)
        return told

    @property
    def _end(self) -> PackageState:
        """The state of the package when all that was asked for is done."""
        if self.work.images_only:
            return PackageState.PUSHED
        return PackageState.SIGNED if self.work.sign else PackageState.PUBLISHED

    def _attempt(self, keeper: leases.Keeper) -> Descriptor:
        signer = Signer(self.site)
        to_sign = [copy.target for copy in self.work.copies if copy.sign] or [self.work.reference]
        if self.work.sign:
            signer.check(to_sign)
        if not self.work.copies:
            return self._publish(keeper, signer)
        found = releasable(self.site.registry, self.work.copies)
        outlasting(keeper.check, until=keeper.stopped)
        released = release(self.site.registry, found)
        if self.work.sign:
            outlasting(keeper.check, until=keeper.stopped)
            signer.sign({reference: released[reference] for reference in to_sign})
        return next(iter(released.values()))

    def _publish(self, keeper: leases.Keeper, signer: Signer) -> Descriptor:
        publishing = Publishing(
            self.site.registry,
            self.work.reference,
            self.built,
            self.work.standing,
            () if self.work.partial else self.work.arches,
        )
        return publishing.publish(
            ours=lambda: outlasting(keeper.check, until=keeper.stopped),
            then=lambda index: signer.sign({self.work.reference: index}) if self.work.sign else None,
            until=keeper.stopped,
        )
