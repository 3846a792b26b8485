"""Leases: one holder at a time, also when a holder dies, is suspended or loses an answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import LeaseLostError
from farm.settings import Secret
from farm.state import leases
from farm.state.store import Store, lease_key
from tests.support.farm_command import wait_until
from tests.support.proxy.tcp import proxy
from tests.support.proxy.tripwire import Hold, containing
from tests.support.values import job, reference

if TYPE_CHECKING:
    from farm.state.leases import Lease

NAME = "localhost:1/linuxkit/foo:1-amd64"


def take(store: Store, holder: str = "r1 w1", *, duration: float = 60.0, message: str = "") -> Lease:
    return leases.take(store, NAME, duration=duration, holder=holder, message=message)


def is_free(store: Store) -> bool:
    """Whether the lease can be taken; takes it for a moment if so."""
    try:
        leases.release(store, take(store, "probe"))
    except leases.LeaseBusyError:
        return False
    return True


@pytest.mark.parametrize("holder", ["r1 w1", "r2 w2"])
def test_a_lease_that_is_taken_is_busy_also_to_its_holder_whom_it_names(store: Store, holder: str) -> None:
    take(store, "r1 w1")
    with pytest.raises(leases.LeaseBusyError) as caught:
        take(store, holder)
    assert caught.value.holder == "r1 w1"


def test_of_many_that_take_a_lease_at_once_one_gets_it(store: Store) -> None:
    def attempt(number: int) -> bool:
        try:
            take(store, f"w{number}")
        except leases.LeaseBusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(24))) == 1


def test_other_names_are_other_leases(store: Store) -> None:
    take(store)
    leases.take(store, f"{NAME}64", duration=60, holder="w2")
    assert leases.job_lease(job("amd64")) != leases.job_lease(job("arm64"))
    assert leases.index_lease(reference()) == leases.index_lease(reference().with_tag("other"))


def test_a_release_returns_each_message_once_and_in_order_and_no_empty_one(store: Store) -> None:
    lease = take(store)
    for message in ("a", "b", "a", ""):
        with pytest.raises(leases.LeaseBusyError):
            take(store, message=message)
    assert leases.release(store, lease) == ["b", "a"]
    assert is_free(store)


def test_a_lease_expires_unless_it_is_renewed(store: Store) -> None:
    take(store, duration=0.2)
    assert not is_free(store)
    wait_until(lambda: is_free(store))


def test_a_lease_that_another_has_taken_since_is_neither_renewed_nor_released(store: Store) -> None:
    old = take(store, duration=0.1)
    wait_until(lambda: is_free(store))
    new = take(store, "w2")
    assert not leases.renew(store, old)
    assert leases.release(store, old) == []
    assert leases.renew(store, new)


def test_a_lease_is_renewed_for_as_long_as_its_holder_works(store: Store) -> None:
    lease = take(store, duration=0.4)
    with leases.hold(store, lease) as held:
        # Four times its duration.
        assert not held.stopped.wait(1.6)
        assert not is_free(store)
        held.check()
    assert is_free(store)


def test_a_lease_that_lasts_longer_than_it_was_taken_for_ends_in_time(store: Store) -> None:
    """Redis' clock was set back: whatever was to expire lasts as much longer."""
    take(store, duration=0.3)
    store.text.pexpire(lease_key(NAME, "lease"), 3_600_000)
    assert not is_free(store)
    wait_until(lambda: is_free(store))


def test_messages_are_sent_once_the_holder_has_finished_also_after_an_error(store: Store) -> None:
    sent: list[str] = []

    def work() -> None:
        with leases.hold(store, take(store), send=sent.append):
            with pytest.raises(leases.LeaseBusyError):
                take(store, message="me")
            assert sent == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert sent == ["me"]


def test_a_holder_that_was_suspended_while_another_took_over_is_refused(store: Store) -> None:
    with leases.hold(store, take(store)) as held:
        leases.release(store, held.lease)
        take(store, "w2")
        with pytest.raises(LeaseLostError):
            held.check()


def test_work_stops_when_its_lease_is_not_renewed_for_whatever_reason(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with leases.hold(store, take(store, duration=0.4)) as held:
        held.renew_while(lambda: bool(1 / 0))
        assert held.stopped.wait(20)
    assert "is not renewed any more" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_renewal_ends_with_the_holder_and_leaves_no_thread(store: Store) -> None:
    before = set(threading.enumerate())
    with leases.hold(store, take(store)):
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before


def test_a_lease_that_was_taken_although_the_answer_was_lost_is_held(redis_url: str, store: Store) -> None:
    """redis-py sends the call again, which then finds its own token."""
    with proxy(redis_url) as proxied:
        far = Store(Secret(proxied.in_place_of(redis_url)))
        leases.release(far, leases.take(far, "other", duration=60, holder="w"))
        loss = proxied.trip(containing(NAME), Hold.AFTER, drop=True)
        lease = take(far, "r1 far")
        assert loss.hits == 1
        assert leases.renew(store, lease)
        far.close()
