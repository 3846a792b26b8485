"""The diagrams and tables of states show every transition and every meaning."""

from __future__ import annotations

from docs.states import diagram, meanings
from farm.model.states import JOB_TRANSITIONS, RUN_TRANSITIONS, JobState, RunState


def test_a_diagram_shows_first_states_transitions_with_their_reasons_and_last_states() -> None:
    transitions: dict[RunState, dict[RunState, str]] = {
        RunState.OPEN: {RunState.OPEN: "again", RunState.DONE: ""},
        RunState.DONE: {},
    }
    assert diagram(transitions, [RunState.OPEN]) == (
        "stateDiagram-v2\n    [*] --> open\n    open --> open: again\n    open --> done\n    done --> [*]\n"
    )


def test_every_transition_of_a_job_is_in_its_diagram() -> None:
    lines = {line.partition(": ")[0].strip() for line in diagram(JOB_TRANSITIONS, []).splitlines()}
    assert {f"{state} --> {to}" for state, targets in JOB_TRANSITIONS.items() for to in targets} <= lines


def test_a_table_of_meanings_has_a_row_for_each_state() -> None:
    rows = meanings("job", JobState).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(JobState)
    assert meanings("run", RunState).count("| `") == len(RUN_TRANSITIONS)
