"""Leases: one holder at a time, whoever dies, sleeps or loses an answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import LeaseLostError
from farm.settings import Secret
from farm.state import leases
from farm.state.store import Store
from tests.integration.state.lost_answers import losing_way
from tests.support.farm_command import wait_until
from tests.support.values import job, reference

if TYPE_CHECKING:
    from farm.state.leases import Lease

NAME = "localhost:1/linuxkit/foo:1-amd64"


def take(store: Store, holder: str = "r1 w1", *, life: float = 60.0, waiting: str = "") -> Lease:
    return leases.take(store, NAME, life=life, holder=holder, waiting=waiting)


def is_free(store: Store) -> bool:
    """Whether somebody else could take the lease; takes it for a moment if so."""
    try:
        leases.free(store, take(store, "probe"))
    except leases.BusyError:
        return False
    return True


def test_a_lease_that_another_has_is_busy_and_says_who_has_it(store: Store) -> None:
    take(store, "r1 w1")
    with pytest.raises(leases.BusyError) as caught:
        take(store, "r2 w2")
    assert caught.value.holder == "r1 w1"


def test_the_same_holder_cannot_have_it_twice(store: Store) -> None:
    take(store, "r1 w1")
    with pytest.raises(leases.BusyError):
        take(store, "r1 w1")


def test_of_many_who_ask_at_once_one_has_it(store: Store) -> None:
    def ask(number: int) -> bool:
        try:
            take(store, f"w{number}")
        except leases.BusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(24))) == 1


def test_other_names_are_other_leases(store: Store) -> None:
    take(store)
    leases.take(store, f"{NAME}64", life=60, holder="w2")
    assert leases.job_lease(job("amd64")) != leases.job_lease(job("arm64"))
    assert leases.index_lease(reference()) == leases.index_lease(reference().with_tag("other"))


def test_freeing_hands_over_each_who_waits_once_and_in_order(store: Store) -> None:
    lease = take(store)
    for waiting in ("a", "b", "a"):
        with pytest.raises(leases.BusyError):
            take(store, waiting=waiting)
    assert leases.free(store, lease) == ["b", "a"]
    assert is_free(store)


def test_who_does_not_wait_is_not_handed_over(store: Store) -> None:
    lease = take(store)
    with pytest.raises(leases.BusyError):
        take(store, waiting="")
    assert leases.free(store, lease) == []


def test_a_lease_ends_by_itself_when_nobody_renews_it(store: Store) -> None:
    take(store, life=0.2)
    assert not is_free(store)
    wait_until(lambda: is_free(store))


def test_a_lease_that_another_has_by_now_is_neither_renewed_nor_freed(store: Store) -> None:
    old = take(store, life=0.1)
    wait_until(lambda: is_free(store))
    new = take(store, "w2")
    assert not leases.keep(store, old)
    assert leases.free(store, old) == []
    assert leases.keep(store, new)


def test_a_lease_is_kept_for_as_long_as_its_holder_works(store: Store) -> None:
    lease = take(store, life=0.4)
    with leases.held(store, lease) as keeper:
        # Several lives of it.
        assert not keeper.stopped.wait(1.6)
        assert not is_free(store)
        keeper.check()
    assert is_free(store)


def test_what_waits_is_sent_once_the_holder_is_done_also_after_an_error(store: Store) -> None:
    sent: list[str] = []

    def work() -> None:
        with leases.held(store, take(store), send=sent.append):
            with pytest.raises(leases.BusyError):
                take(store, waiting="me")
            assert sent == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert sent == ["me"]


def test_a_holder_that_slept_while_another_took_over_records_nothing(store: Store) -> None:
    with leases.held(store, take(store)) as keeper:
        leases.free(store, keeper.lease)
        take(store, "w2")
        with pytest.raises(LeaseLostError):
            keeper.check()


def test_a_holder_that_was_replaced_is_told_to_stop(store: Store) -> None:
    with leases.held(store, take(store, life=0.4)) as keeper:
        leases.free(store, keeper.lease)
        take(store, "w2")
        assert keeper.stopped.wait(30)


def test_keeping_ends_with_the_holder_and_leaves_no_thread(store: Store) -> None:
    before = set(threading.enumerate())
    with leases.held(store, take(store)):
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before


def test_a_lease_that_was_taken_although_the_answer_was_lost_is_ours(redis_url: str, store: Store) -> None:
    """The command comes again by itself, and finds its own first coming."""
    with losing_way(redis_url) as way:
        far = Store(Secret(way.url))
        leases.free(far, leases.take(far, "other", life=60, holder="w"))
        way.lose_answer_to(NAME)
        lease = take(far, "r1 far")
        assert way.lost == 1
        assert leases.keep(store, lease)
        far.close()
