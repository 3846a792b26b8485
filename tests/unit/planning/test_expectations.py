"""How long a build will take is learned from earlier ones, or guessed from what is most like it."""

from __future__ import annotations

from farm.planning.expectations import PUBLISHING, Expectations, run_ranks
from farm.planning.job_order import DEFAULT_DURATION
from tests.support.values import work

USUAL = {"amd64": [10.0, 20.0, 30.0], "s390x": [100.0]}


def test_the_last_builds_of_an_image_count_most() -> None:
    known = Expectations({("foo", "amd64"): [4.0, 5.0, 6.0, 600.0]}, USUAL)
    assert known.seconds("foo", "amd64") == 5.0


def test_an_image_that_is_known_elsewhere_is_slower_where_builds_are_slower() -> None:
    known = Expectations({("foo", "amd64"): [4.0]}, USUAL)
    assert known.seconds("foo", "s390x") == 20.0


def test_an_unknown_image_takes_as_long_as_others() -> None:
    assert Expectations({}, USUAL).seconds("foo", "amd64") == 20.0
    assert Expectations({}, {}).seconds("foo", "amd64") == DEFAULT_DURATION


def test_the_ranks_of_a_run_are_of_its_slowest_builds() -> None:
    works = [work("linuxkit/foo", "amd64", "s390x"), work("linuxkit/bar", "amd64", needs=("linuxkit/foo",))]
    assert run_ranks(works, Expectations({}, USUAL)) == {
        "linuxkit/bar": 20.0 + PUBLISHING,
        "linuxkit/foo": 120.0 + 2 * PUBLISHING,
    }
