"""Every error of the farm: its facts, and its way across a process boundary."""

from __future__ import annotations

import pickle

import pytest

from farm.errors import FACTS, Facts, FarmError, RegistryUnavailableError, facts_of

KINDS: list[type[FarmError]] = [FarmError, *FarmError.registry.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_exit_code_that_the_documentation_names(kind: type[FarmError]) -> None:
    error = kind("it went wrong")
    assert error.exit_code in (1, 2, 3, 4)
    assert error.exit_code == facts_of(kind).exit_code


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_service_that_is_away_keeps_from_going_can_be_tried_again(kind: type[FarmError]) -> None:
    away = "Unavailable" in kind.__name__
    assert kind("it is away").exit_code == 3 or not away
    assert kind("it is away").retryable or not away


@pytest.mark.parametrize("kind", [kind for kind in KINDS if facts_of(kind).exit_code in (2, 4)])
def test_wrong_input_and_refused_logins_are_never_tried_again(kind: type[FarmError]) -> None:
    assert not kind("no").retryable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hint", [None, "do that"])
def test_an_error_crosses_processes_as_json_and_by_pickle(kind: type[FarmError], hint: str | None) -> None:
    error = kind("it went wrong", hint=hint)
    for other in (FarmError.from_json(error.to_json()), pickle.loads(pickle.dumps(error))):  # noqa: S301 - made here
        assert type(other) is kind
        assert (other.message, other.hint, str(other)) == (error.message, hint, str(error))


def test_an_error_of_a_later_version_is_still_told() -> None:
    told = FarmError.from_json({"kind": "NewError", "message": "something new", "hint": None})
    assert (type(told), str(told)) == (FarmError, "something new")


def test_the_hint_stands_behind_the_message() -> None:
    assert str(FarmError("it is dirty", hint="commit it")) == "it is dirty (commit it)"
    assert str(FarmError("it is dirty")) == "it is dirty"


def test_a_kind_without_facts_of_its_own_has_those_of_the_nearest() -> None:
    try:

        class SlowError(RegistryUnavailableError):
            """The registry takes its time."""

        assert facts_of(SlowError) == FACTS[RegistryUnavailableError] == Facts(3, retryable=True)
        assert type(FarmError.from_json(SlowError("late").to_json())) is SlowError
    finally:
        FarmError.registry.pop("SlowError")
