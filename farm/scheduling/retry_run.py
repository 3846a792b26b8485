"""Submit again what failed, was cancelled or was lost in another run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.planning.make_run import again, to_repeat
from farm.scheduling.celery_app import COMMAND_TRIES, make_app
from farm.scheduling.coordinator import submit_run
from farm.state.contexts import keep_contexts
from farm.state.run_names import new_name
from farm.state.runs import read_run, read_works
from farm.system.identity import user_at_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Run
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """A run that repeats the packages of another that did not succeed."""

    run: Run
    added: dict[str, str]
    """Packages that were not asked for, each with the one that depends on it."""


def plan_retry(run: RunHandle, names: Sequence[str] = ()) -> RetryPlan | None:
    """Plan a run of what failed, was cancelled or was lost in `run`; None if nothing was.

    `names` choose packages by name or the last part of it, together with their dependencies; without them
    all are repeated.
    """
    record = read_run(run)
    packages = to_repeat(record, [record.find_package(name) for name in names])
    if not packages:
        return None
    works = read_works(run, list(packages))
    store, submitter = run.store, user_at_host()
    new = again(record, works, run=new_name(store), submitter=submitter, created=store.now())
    return RetryPlan(new, {name: needed_by for name, needed_by in packages.items() if needed_by})


def submit_retry(store: Store, settings: Settings, run: Run) -> RunHandle:
    """Submit a run of `plan_retry`; StateError if a context has expired."""
    contexts = sorted({job.context for work in run.works for job in work.jobs})
    if expired := keep_contexts(store, contexts, keep=settings.keep):
        name = next(work.package for work in run.works for job in work.jobs if job.context in expired)
        raise StateError(f"the context of {name} has expired", hint="farm push its directory again")
    return submit_run(make_app(settings, tries=COMMAND_TRIES), store, run)
