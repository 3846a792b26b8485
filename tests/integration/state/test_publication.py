"""How a package's record ends where its publisher slept past its lease and then met an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest
from celery.exceptions import Ignore

from farm.errors import FarmError, InputError, TrustUnavailableError
from farm.model import JobState, PackageState
from farm.scheduling import coordinator
from farm.settings import Secret, Settings
from farm.state import leases, runs, transitions
from farm.state.store import lease_key
from tasks.publish_manifest import Publication
from tasks.worker_context import SharedFlag, WorkerContext
from tests.support.values import image, run_of, work

if TYPE_CHECKING:
    from farm.state.store import Store
    from tests.integration.state.conftest import Queues

FOO = "linuxkit/foo"


def publish(store: Store, redis_url: str, error: Exception, *, slept: bool) -> NoReturn:
    """Let a publisher take the package and meet an error, after its lease went to another if it slept."""

    class Sleeper(Publication):
        def _attempt(self, keeper: leases.Keeper) -> NoReturn:
            if slept:
                store.text.set(lease_key(keeper.lease.name, "lease"), "another")
                assert keeper.stopped.wait(20)
            raise error

    foo = work(FOO, "amd64")
    site = WorkerContext(Settings(broker=Secret(redis_url)), "p1", SharedFlag())
    lease = leases.take(store, leases.index_lease(foo.reference), life=60, holder="r1 p1")
    with leases.held(store, lease) as keeper:
        Sleeper(site, "r1", foo, (image("amd64"),)).under(keeper)
    raise AssertionError


@pytest.fixture(autouse=True)
def built(store: Store, queues: Queues) -> None:
    """r1, which makes foo for amd64, was submitted and its image built."""
    coordinator.submit(queues.app, store, run_of(work(FOO, "amd64")))
    transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILT, image=image("amd64"))


@pytest.mark.parametrize("error", [TrustUnavailableError("notary did not answer in time"), TypeError("odd")])
def test_what_fails_once_the_lease_is_lost_fails_no_package(
    store: Store, redis_url: str, error: Exception
) -> None:
    with pytest.raises(Ignore):
        publish(store, redis_url, error, slept=True)
    assert runs.read_package_record(store, "r1", FOO).state is PackageState.PUBLISHING


@pytest.mark.parametrize("slept", [False, True])
def test_what_nobody_can_heal_fails_it_at_once(store: Store, redis_url: str, slept: bool) -> None:
    with pytest.raises(FarmError, match="no such key"):
        publish(store, redis_url, InputError("no such key"), slept=slept)
    assert runs.read_package_record(store, "r1", FOO).state is PackageState.FAILED
