"""The record of a job whose worker meets an unexpected error, or cannot reach Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from farm.errors import FarmError, StateUnavailableError
from farm.model import JobState, PackageState
from farm.settings import Secret, Settings
from farm.state import leases
from farm.state.runs import read_package
from tasks import build_attempt, retries
from tasks.build_and_push import BuildExecution
from tasks.worker_context import SharedFlag, WorkerContext
from tests.support.values import job, work

if TYPE_CHECKING:
    from farm.state.store import Store
    from tests.integration.state.conftest import Farm


@pytest.fixture
def sent(farm: Farm) -> Farm:
    """r1, which builds foo for amd64, was submitted."""
    farm.submit(work("linuxkit/foo", "amd64"))
    return farm


def execute(store: Store, redis_url: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a worker execute the job; its first request to the registry raises an error."""

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(build_attempt, "arch_image", fail)
    context = WorkerContext(Settings(broker=Secret(redis_url)), "w1", SharedFlag())
    lease = leases.take(store, leases.job_lease(job()), duration=60, holder="r1 w1")
    with leases.hold(store, lease) as held:
        return BuildExecution(context, job(), "t1").run(held)


def test_an_internal_error_is_recorded_at_once_and_does_not_count_as_a_lost_worker(
    sent: Farm, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FarmError, match="internal error: TypeError: unexpected"):
        execute(sent.store, redis_url, TypeError("unexpected"), monkeypatch)
    assert sent.record.state is JobState.FAILED
    assert "linuxkit/foo amd64: internal error: TypeError: unexpected" in str(sent.record.error)
    assert read_package(sent.foo).state is PackageState.FAILED


def test_a_redis_that_stays_away_too_long_fails_no_job_and_leaves_it_to_the_reconciler(
    sent: Farm, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_OUTAGE", 0.0)
    with pytest.raises(StateUnavailableError):
        execute(sent.store, redis_url, StateUnavailableError("Redis does not answer"), monkeypatch)
    assert not sent.record.state.ended
