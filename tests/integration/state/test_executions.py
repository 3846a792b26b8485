"""The record of a job or package whose worker or publisher meets an error, or was suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from celery.exceptions import Ignore

from farm.errors import FarmError, InputError, StateUnavailableError, TrustUnavailableError
from farm.model import JobState, PackageState
from farm.model.order import make_order
from farm.settings import Secret, Settings
from farm.state import leases
from farm.state.records import JobPatch
from farm.state.runs import read_package
from farm.state.store import lease_key
from farm.trust.orders import VerifiedOrder
from farm.trust.policy import Maintainer
from tasks import build_attempt, retries
from tasks.build_and_push import BuildExecution
from tasks.orders import OrderedJob, OrderedWork
from tasks.publish_manifest import PublishExecution
from tasks.worker_context import SharedFlags, WorkerContext
from tests.integration.state.steps import drive
from tests.support.values import digest, image, job, run_of, work

if TYPE_CHECKING:
    from tests.integration.state.conftest import Farm

FOO = work("linuxkit/foo", "amd64")
VERIFIED = VerifiedOrder(make_order(run_of(FOO), "")[0], digest("order"), Maintainer("me", "", ()))


@pytest.fixture
def context(farm: Farm, redis_url: str) -> WorkerContext:
    """A worker's, once r1 was submitted, which builds foo for amd64."""
    farm.submit(FOO)
    return WorkerContext(Settings(broker=Secret(redis_url)), "w1", SharedFlags())


def build(farm: Farm, context: WorkerContext, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a worker execute the job; its first request to the registry raises an error."""

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(build_attempt, "named_image", fail)
    lease = leases.take(farm.store, leases.job_lease(job()), duration=60, holder="r1 w1")
    with leases.hold(farm.store, lease) as held:
        return BuildExecution(context, OrderedJob(VERIFIED, FOO, job()), "t1").run(held)


def test_an_internal_error_is_recorded_at_once_and_does_not_count_as_a_lost_worker(
    farm: Farm, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FarmError, match="internal error: TypeError: unexpected"):
        build(farm, context, TypeError("unexpected"), monkeypatch)
    assert farm.record.state is JobState.FAILED
    assert "linuxkit/foo amd64: internal error: TypeError: unexpected" in str(farm.record.error)
    assert read_package(farm.foo).state is PackageState.FAILED


def test_a_redis_that_stays_away_too_long_fails_no_job_and_leaves_it_to_the_reconciler(
    farm: Farm, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_OUTAGE", 0.0)
    with pytest.raises(StateUnavailableError):
        build(farm, context, StateUnavailableError("Redis does not answer"), monkeypatch)
    assert not farm.record.state.ended


def publish(farm: Farm, context: WorkerContext, error: Exception, *, suspended: bool) -> NoReturn:
    """Let a publisher accept the package and fail, after another took its lease if it was suspended."""

    class FailingExecution(PublishExecution):
        def _attempt(self, held: leases.HeldLease) -> NoReturn:
            if suspended:
                farm.store.text.set(lease_key(held.lease.name, "lease"), "another")
                assert held.stopped.wait(20)
            raise error

    drive(farm.job, JobState.BUILT, JobPatch(image=image("amd64")))
    lease = leases.take(farm.store, leases.index_lease(FOO.reference), duration=60, holder="r1 p1")
    with leases.hold(farm.store, lease) as held:
        FailingExecution(context, farm.foo, OrderedWork(VERIFIED, FOO), (image("amd64"),)).run(held)
    raise AssertionError


@pytest.mark.parametrize(
    "error", [TrustUnavailableError("notary did not answer in time"), TypeError("unexpected")]
)
def test_an_error_after_the_lease_is_lost_fails_no_package(
    farm: Farm, context: WorkerContext, error: Exception
) -> None:
    with pytest.raises(Ignore):
        publish(farm, context, error, suspended=True)
    assert read_package(farm.foo).state is PackageState.PUBLISHING


@pytest.mark.parametrize("suspended", [False, True])
def test_a_permanent_error_fails_the_package_at_once(
    farm: Farm, context: WorkerContext, suspended: bool
) -> None:
    with pytest.raises(FarmError, match="no such key"):
        publish(farm, context, InputError("no such key"), suspended=suspended)
    assert read_package(farm.foo).state is PackageState.FAILED
