"""One job in the hands of one worker process: taken, built, pushed, recorded; or failed, or handed back."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore

from farm.builders.build_arguments import PROXIES, proxy_args
from farm.builders.build_spec import BuildSpec
from farm.builders.choice import choose_builder
from farm.builders.depends_images import completed
from farm.errors import (
    CancelledError,
    FarmError,
    LeaseLostError,
    RegistryError,
    StateUnavailableError,
    internal_error,
)
from farm.model import ArchImage, Job, JobState
from farm.package.context import verify
from farm.registry.published_images import arch_image
from farm.scheduling.coordinator import queue_job, settle
from farm.settings import environment
from farm.state import build_times, leases, runs, transitions
from farm.state.contexts import get_context
from farm.state.logs import LogWriter
from tasks.disk_space import DiskSpace
from tasks.retries import outlasting, patiently

if TYPE_CHECKING:
    from farm.builders.builder import Builder
    from farm.builders.docker_engine import Engine
    from farm.model import Reference
    from farm.state.records import JobRecord
    from tasks.worker_context import WorkerContext

_log = logging.getLogger(__name__)
_TRACEBACK = "its traceback is in the worker's own log"


class HandedBackError(Ignore):
    """This worker ends, and its job went back to the queue."""


@dataclass(frozen=True, slots=True)
class BuildExecution:
    """One job in the hands of one worker process."""

    site: WorkerContext
    job: Job
    task: str
    made: list[str] = field(default_factory=list)
    """The image that was built, as the engine names it: an attempt that failed later left it there."""
    pushed: list[Reference] = field(default_factory=list)
    """Where it was pushed to, though an attempt failed later."""

    def wait_behind(self, holder: str) -> None:
        """Record that the job waits for another that makes the same image."""
        job = self.job
        transitions.move_job(
            self.site.store,
            job.run,
            job.package,
            job.arch,
            JobState.QUEUED,
            come_from=[JobState.QUEUED],
            behind=holder,
            lease=leases.job_lease(job),
        )

    def move(self, to: JobState, keeper: leases.Keeper, **facts: Any) -> None:
        """Record a step, however long Redis is away, unless the job is no longer ours."""
        job, token = self.job, keeper.lease.token

        def tell() -> JobRecord | None:
            return transitions.move_job(
                self.site.store, job.run, job.package, job.arch, to, holding=token, **facts
            ) or self._told(to, token)

        if not outlasting(tell, until=keeper.stopped):
            raise LeaseLostError(f"{job.title}: was taken over or cancelled")

    def _told(self, to: JobState, token: str) -> JobRecord | None:
        """The record where it says so already: an answer of Redis's was lost, not the step."""
        record = self.record()
        return record if record and (record.state, record.token) == (to, token) else None

    def record(self) -> JobRecord | None:
        """The job as the state has it; None where the state knows nothing of it any more."""
        job = self.job
        return next(iter(runs.read_jobs(self.site.store, job.run, job.package, [job.arch])), None)

    def cancelled(self) -> bool:
        """Whether somebody cancelled the job."""
        record = self.record()
        return record is not None and record.state is JobState.CANCELLED

    def is_ours(self, token: str) -> bool:
        """Whether the job is worked on under this token, or landed so."""
        record = self.record()
        return bool(record and record.token == token and (record.state.landed or not record.state.ended))

    def under(self, keeper: leases.Keeper) -> ArchImage:
        """Do the work under a lease, and record how it ended."""
        try:
            return outlasting(lambda: self._begin(keeper), until=keeper.stopped) or self._finish(keeper)
        except LeaseLostError as error:
            if self.cancelled():
                raise CancelledError(f"{self.job.package} {self.job.arch}: cancelled") from error
            if self._hand_back(keeper):
                raise HandedBackError(f"{self.job.title} went back to its queue") from error
            raise Ignore(str(error)) from error

    def _hand_back(self, keeper: leases.Keeper) -> bool:
        """Put the job back, where this worker was told to; False where it was not, or the job is not ours."""
        record = self.record() if self.site.leaving.is_set else None
        if record is None:
            return False
        token = keeper.lease.token
        return bool(
            queue_job(
                self.site.store, self.job, come_from=transitions.IN_PROGRESS, holding=token, lost=record.lost
            )
        )

    def _finish(self, keeper: leases.Keeper) -> ArchImage:
        try:
            # Whatever of it asks Redis waits for one that is away; what was made by then is not made again.
            with closing(self._log(keeper)) as log:
                return patiently(
                    lambda: outlasting(lambda: self._attempt(keeper, log), until=keeper.stopped),
                    until=keeper.stopped,
                    say=log.write,
                )
        except (LeaseLostError, StateUnavailableError):
            # Of what cannot be told nothing is: once Redis is back, the reconciler gives the job to somebody.
            raise
        except FarmError as error:
            if keeper.stopped.is_set() and (error.retryable or isinstance(error, CancelledError)):
                raise LeaseLostError(f"{self.job.title}: was stopped") from error
            raise self._failed(error, keeper) from error
        except Exception as error:
            # Untold, it would be taken for the death of this worker, and tried on four of them.
            _log.exception("%s", self.job.title)
            if keeper.stopped.is_set():
                raise LeaseLostError(f"{self.job.title}: was stopped") from error
            raise self._failed(internal_error(error, hint=_TRACEBACK), keeper) from error

    def _begin(self, keeper: leases.Keeper) -> ArchImage | None:
        """Take the job; returns its image where an earlier execution of this task recorded one."""
        store, job = self.site.store, self.job
        facts: dict[str, Any] = {
            "worker": self.site.worker,
            "task": self.task,
            "started": time.time(),
            "token": keeper.lease.token,
            "lease": keeper.lease.name,
        }
        if transitions.move_job(store, job.run, job.package, job.arch, JobState.LEASED, **facts):
            keeper.only_while(lambda: not self.site.leaving.is_set and self.is_ours(keeper.lease.token))
            return None
        record = self.record()
        if record is None:
            raise LeaseLostError(f"{job.title}: the state knows nothing of {job.run} any more")
        if record.image and record.state.landed:
            return record.image
        raise record.error or CancelledError(f"{job.package} {job.arch}: cancelled")

    def _failed(self, error: FarmError, keeper: leases.Keeper) -> FarmError:
        job = self.job
        if keeper.stopped.is_set() and self.cancelled():
            return CancelledError(f"{job.package} {job.arch}: cancelled")
        hint = f"farm logs {job.run} {job.package} {job.arch}"
        told = type(error)(f"{job.package} {job.arch}: {error}", hint=hint)
        self.move(JobState.FAILED, keeper, error=told)
        outlasting(lambda: settle(self.site.store, job.run, job.package), until=keeper.stopped)
        return told

    def _log(self, keeper: leases.Keeper) -> LogWriter:
        """The log of all attempts: one that only pushes again adds to what the build has said."""
        job = self.job
        keep = self.site.settings.keep
        return LogWriter(self.site.store, job.run, job.package, job.arch, token=keeper.lease.token, keep=keep)

    def _attempt(self, keeper: leases.Keeper, log: LogWriter) -> ArchImage:
        target = self.job.reference.for_arch(self.job.arch)
        again = self.job.force and not self.pushed
        image = None if again else arch_image(self.site.registry, target, self.job.arch)
        if image:
            self.move(JobState.BUILT if self.made else JobState.EXISTS, keeper, image=image)
            return image
        with ExitStack() as stack:
            engine = self.site.engine()
            stack.callback(engine.close)
            room = DiskSpace(self.site, engine, engine.info())
            stack.enter_context(room.taken(target))
            room.filled(lambda: self._build(engine, log, keeper), target, say=log.write)
            self._push(engine, log, keeper)
        image = arch_image(self.site.registry, target, self.job.arch)
        if image is None:
            raise RegistryError(
                f"{target.familiar} was pushed, and is not there", hint="is a clean-up running?"
            )
        self.move(JobState.BUILT, keeper, image=image)
        return image

    def _build(self, engine: Engine, log: LogWriter, keeper: leases.Keeper) -> None:
        store, job = self.site.store, self.job
        builder = self._builder(engine)
        if self.made and builder.holds(job.reference.for_arch(job.arch), self.made[-1]):
            return
        with ExitStack() as stack:
            context = outlasting(lambda: get_context(store, job.context), until=keeper.stopped)
            stack.enter_context(context)
            verify(context, job)
            self.move(JobState.BUILDING, keeper)
            spec = BuildSpec.of(job, proxies=proxy_args(environment(PROXIES)))
            full = stack.enter_context(
                completed(
                    context, job.depends, job.arch, engine=engine, registry=self.site.sources, log=log.write
                )
            )
            begun = time.monotonic()
            image = builder.build(
                spec,
                full,
                log=log.write,
                cancelled=keeper.stopped.is_set,
                timeout=self._time_limit(log),
            )
            self.made.append(image)
            self._remember(time.monotonic() - begun)

    def _builder(self, engine: Engine) -> Builder:
        return choose_builder(self.site.settings, engine, self.site.credentials.login_for)

    def _time_limit(self, log: LogWriter) -> float:
        bound, patience = self.site.settings.build_timeout, self.site.settings.build_patience
        past = build_times.took(self.site.store, self.job)
        limit = build_times.time_limit(bound, past, patience)
        if limit < bound:
            log.write(f"time limit: {limit:.0f} s, since its longest build of late took {max(past):.0f} s")
        return limit

    def _remember(self, seconds: float) -> None:
        try:
            build_times.remember(self.site.store, self.job, seconds)
        except FarmError as failure:
            # The next time limit and the next estimate know a little less, and this build is no worse for it.
            _log.warning("%s: how long it took is forgotten: %s", self.job.title, failure)

    def _push(self, engine: Engine, log: LogWriter, keeper: leases.Keeper) -> None:
        target = self.job.reference.for_arch(self.job.arch)
        self.move(JobState.PUSHING, keeper)
        builder = self._builder(engine)
        builder.push(
            target,
            log=log.write,
            cancelled=keeper.stopped.is_set,
            timeout=self.site.settings.build_timeout,
            silence=self.site.settings.push_silence,
        )
        self.pushed.append(target)
        outlasting(keeper.check, until=keeper.stopped)
        builder.forget(target, self.job.arch)
