"""Taking up again what of a run did not come to stand: a new run that does only that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.planning.retry_plan import again, to_repeat
from farm.scheduling import coordinator
from farm.scheduling.celery_app import COMMANDS_TRIES, make_app
from farm.state.contexts import keep_contexts
from farm.state.runs import next_run, read_run, read_works
from farm.system.identity import user_at_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Run
    from farm.settings import Settings
    from farm.state.store import Store


@dataclass(frozen=True, slots=True)
class Retry:
    """A run that does again what another left undone."""

    run: Run
    added: dict[str, str]
    """Packages that nobody asked for, each with the one that needs it."""


def plan_retry(store: Store, run: str, names: Sequence[str] = ()) -> Retry | None:
    """The run that does again what of `run` failed, was cancelled or was lost; None where nothing did.

    Args:
        store: where the run is kept.
        run: its name.
        names: only these of its packages, by their names or the last parts of them, and what they need.

    Raises:
        StateError: there is no such run or package, or one needs what is still under way.
    """
    record = read_run(store, run)
    packages = to_repeat(record, [record.named(name) for name in names])
    if not packages:
        return None
    works = read_works(store, run, list(packages))
    new = again(record, works, run=next_run(store), submitter=user_at_host(), created=time.time())
    return Retry(new, {name: needed_by for name, needed_by in packages.items() if needed_by})


def submit_retry(store: Store, settings: Settings, run: Run) -> None:
    """Submit a run of `plan_retry`; the old run keeps telling what happened.

    Raises:
        StateError: what was to be built is not kept any more; nothing was submitted.
    """
    wanted = sorted({job.context for work in run.works for job in work.jobs})
    if gone := keep_contexts(store, wanted, keep=settings.keep):
        name = next(work.package for work in run.works for job in work.jobs if job.context in gone)
        raise StateError(f"the context of {name} is not kept any more", hint="farm push its directory again")
    coordinator.submit(make_app(settings, tries=COMMANDS_TRIES), store, run)
