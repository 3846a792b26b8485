"""The tables of transitions: what may follow what."""

from __future__ import annotations

from typing import Any

import pytest

from farm.model.states import (
    JOB_TRANSITIONS,
    JOBS_IN_PROGRESS,
    PACKAGE_TRANSITIONS,
    RUN_TRANSITIONS,
    JobState,
    PackageState,
    RunState,
    sources,
)

TABLES: dict[Any, Any] = {
    JobState: JOB_TRANSITIONS,
    PackageState: PACKAGE_TRANSITIONS,
    RunState: RUN_TRANSITIONS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_has_a_row_for_each_state_and_every_state_can_be_reached(kind: Any) -> None:
    table, (first, *_) = TABLES[kind], list(kind)
    assert list(table) == list(kind)
    reached = {first}
    for state in table:
        reached |= set(table[state]) if state in reached else set()
    assert reached == set(kind)


@pytest.mark.parametrize("kind", TABLES)
def test_nothing_follows_success_failure_or_cancellation_and_everything_else_can_be_cancelled(
    kind: Any,
) -> None:
    ended = {state for state in kind if state.ended}
    assert ended == {
        state
        for state in kind
        if getattr(state, "succeeded", False) or state in ("done", "failed", "cancelled")
    }
    assert set(sources(TABLES[kind], kind("cancelled"))) == set(kind) - ended


def test_success_follows_only_progress() -> None:
    """So only the holder of the lease, whose token the record has, can report it."""
    built = {state for to in (JobState.BUILT, JobState.EXISTS) for state in sources(JOB_TRANSITIONS, to)}
    assert built == set(JOBS_IN_PROGRESS)
    for to in PackageState:
        if to.succeeded:
            assert sources(PACKAGE_TRANSITIONS, to) == (PackageState.PUBLISHING,)


def test_a_job_that_is_lost_or_handed_back_is_queued_again_from_every_state_in_progress() -> None:
    assert {JobState.QUEUED, *JOBS_IN_PROGRESS} < set(sources(JOB_TRANSITIONS, JobState.QUEUED))
