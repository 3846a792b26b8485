"""How a job's record ends where its worker meets what nobody expected, or what it cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from farm.errors import FarmError, StateUnavailableError
from farm.model import JobState, PackageState
from farm.scheduling import coordinator
from farm.settings import Secret, Settings
from farm.state import leases, runs
from tasks import build_execution as tasks_work
from tasks import retries
from tasks.worker_context import SharedFlag, WorkerContext
from tests.support.values import job, run_of, work

if TYPE_CHECKING:
    from farm.state.records import JobRecord
    from farm.state.store import Store
    from tests.integration.state.conftest import Queues

FOO = "linuxkit/foo"


@pytest.fixture
def sent(store: Store, queues: Queues) -> None:
    """r1, which builds foo for amd64, was submitted."""
    coordinator.submit(queues.app, store, run_of(work(FOO, "amd64")))


def carry_out(store: Store, redis_url: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a worker take the job; its first question of the registry ends with an error."""

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(tasks_work, "arch_image", fail)
    site = WorkerContext(Settings(broker=Secret(redis_url)), "w1", SharedFlag())
    lease = leases.take(store, leases.job_lease(job()), life=60, holder="r1 w1")
    with leases.held(store, lease) as keeper:
        return tasks_work.BuildExecution(site, job(), "t1").under(keeper)


def record(store: Store) -> JobRecord:
    return runs.read_jobs(store, "r1", FOO, ["amd64"])[0]


@pytest.mark.usefixtures("sent")
def test_a_defect_is_told_at_once_and_not_taken_for_the_death_of_a_worker(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FarmError, match="internal error: TypeError: odd"):
        carry_out(store, redis_url, TypeError("odd"), monkeypatch)
    assert record(store).state is JobState.FAILED
    assert "linuxkit/foo amd64: internal error: TypeError: odd" in record(store).why
    assert runs.read_package_record(store, "r1", FOO).state is PackageState.FAILED


@pytest.mark.usefixtures("sent")
def test_a_redis_that_stays_away_too_long_fails_no_job_and_leaves_it_to_the_reconciler(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "OUTAGE", 0.0)
    with pytest.raises(StateUnavailableError):
        carry_out(store, redis_url, StateUnavailableError("Redis does not answer"), monkeypatch)
    assert not record(store).state.ended
