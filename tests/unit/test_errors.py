"""Errors of the farm: exit codes, retries, and their way to other processes."""

from __future__ import annotations

import pickle

import pytest

from farm.errors import DiskFullError, FarmError, RegistryUnavailableError

KINDS: list[type[FarmError]] = [FarmError, *FarmError.registry.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_documented_exit_code_and_is_retried_only_where_that_may_help(
    kind: type[FarmError],
) -> None:
    code, retried = kind("it is down").exit_code, kind("it is down").retryable
    assert code in (1, 2, 3, 4)
    assert (code, retried) == (3, True) or "Unavailable" not in kind.__name__
    # Invalid input and refused logins.
    assert not retried or code not in (2, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hint", [None, "do that"])
def test_an_error_crosses_processes_as_json_and_by_pickle(kind: type[FarmError], hint: str | None) -> None:
    error = kind("it went wrong", hint=hint)
    for other in (FarmError.from_json(error.to_json()), pickle.loads(pickle.dumps(error))):  # noqa: S301 - made here
        assert type(other) is kind
        assert (other.message, other.hint, str(other)) == (error.message, hint, str(error))


def test_an_error_of_a_later_version_is_still_reported() -> None:
    error = FarmError.from_json({"kind": "NewError", "message": "something new", "hint": None})
    assert (type(error), str(error)) == (FarmError, "something new")


def test_the_hint_follows_the_message() -> None:
    assert str(FarmError("it is dirty", hint="commit it")) == "it is dirty (commit it)"
    assert str(FarmError("it is dirty")) == "it is dirty"


def test_what_a_kind_does_not_say_is_as_in_its_base_class() -> None:
    assert (DiskFullError.exit_code, DiskFullError.retryable) == (1, True)
    try:

        class SlowError(RegistryUnavailableError):
            """The registry is slow."""

        assert (SlowError.exit_code, SlowError.retryable) == (3, True)
        assert type(FarmError.from_json(SlowError("late").to_json())) is SlowError
    finally:
        FarmError.registry.pop("SlowError")
