"""The record of a package whose publisher was suspended past its lease, and whose work then failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest
from celery.exceptions import Ignore

from farm.errors import FarmError, InputError, TrustUnavailableError
from farm.model import JobState, PackageState
from farm.settings import Secret, Settings
from farm.state import leases
from farm.state.records import Patch
from farm.state.runs import read_package
from farm.state.store import lease_key
from tasks.publish_manifest import PublishExecution
from tasks.worker_context import SharedFlag, WorkerContext
from tests.integration.state.steps import drive_job
from tests.support.values import image, work

if TYPE_CHECKING:
    from farm.state.run_handles import PackageHandle
    from tests.integration.state.conftest import Farm

FOO = "linuxkit/foo"


def publish(package: PackageHandle, redis_url: str, error: Exception, *, suspended: bool) -> NoReturn:
    """Let a publisher accept the package and fail, after another took its lease if it was suspended."""
    store = package.store

    class FailingExecution(PublishExecution):
        def _attempt(self, held: leases.HeldLease) -> NoReturn:
            if suspended:
                store.text.set(lease_key(held.lease.name, "lease"), "another")
                assert held.stopped.wait(20)
            raise error

    foo = work(FOO, "amd64")
    context = WorkerContext(Settings(broker=Secret(redis_url)), "p1", SharedFlag())
    lease = leases.take(store, leases.index_lease(foo.reference), duration=60, holder="r1 p1")
    with leases.hold(store, lease) as held:
        FailingExecution(context, package, foo, (image("amd64"),)).run(held)
    raise AssertionError


@pytest.fixture(autouse=True)
def built(farm: Farm) -> None:
    """r1, which builds foo for amd64, was submitted and its image built."""
    farm.submit(work(FOO, "amd64"))
    drive_job(farm.job, JobState.BUILT, Patch(image=image("amd64")))


@pytest.mark.parametrize(
    "error", [TrustUnavailableError("notary did not answer in time"), TypeError("unexpected")]
)
def test_an_error_after_the_lease_is_lost_fails_no_package(
    farm: Farm, redis_url: str, error: Exception
) -> None:
    with pytest.raises(Ignore):
        publish(farm.foo, redis_url, error, suspended=True)
    assert read_package(farm.foo).state is PackageState.PUBLISHING


@pytest.mark.parametrize("suspended", [False, True])
def test_a_permanent_error_fails_the_package_at_once(farm: Farm, redis_url: str, suspended: bool) -> None:
    with pytest.raises(FarmError, match="no such key"):
        publish(farm.foo, redis_url, InputError("no such key"), suspended=suspended)
    assert read_package(farm.foo).state is PackageState.FAILED
