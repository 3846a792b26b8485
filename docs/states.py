"""The states in docs/architecture.md: a table of meanings for each kind, and diagrams of the transitions."""

from __future__ import annotations

import ast
import inspect
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from docs.sections import with_section
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS, JobState, PackageState, RunState
from farm.state.workers import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

S = TypeVar("S", bound=StrEnum)


def with_states(page: str) -> str:
    """The page with the tables and diagrams of the states as they are now."""
    jobs = diagram(JOB_TRANSITIONS, [JobState.WAITING, JobState.EXISTS])
    packages = diagram(PACKAGE_TRANSITIONS, [PackageState.WAITING])
    parts = [
        meanings("job", JobState),
        f"```mermaid\n{jobs}```\n",
        meanings("package", PackageState),
        f"```mermaid\n{packages}```\n",
        meanings("run", RunState),
        meanings("worker", WorkerState),
    ]
    return with_section(page, "states", "\n".join(parts))


def diagram(transitions: Mapping[S, Mapping[S, str]], first: Iterable[S]) -> str:
    """A Mermaid state diagram of a table of transitions, each with its reason.

    Args:
        transitions: state to the states that may follow it, each with the reason or "".
        first: the states in which a record may begin.
    """
    lines = ["stateDiagram-v2", *(f"    [*] --> {state}" for state in first)]
    for state, targets in transitions.items():
        lines += [f"    {state} --> {target}{f': {why}' if why else ''}" for target, why in targets.items()]
        lines += [] if targets else [f"    {state} --> [*]"]
    return "".join(f"{line}\n" for line in lines)


def meanings(kind: str, states: type[StrEnum]) -> str:
    """A table of the states of one kind, from the docstrings of the members."""
    (definition,) = ast.parse(inspect.getsource(states)).body
    docs = {}
    for member, text in pairwise(getattr(definition, "body", [])):
        match member, text:
            case ast.Assign(targets=[ast.Name(name)]), ast.Expr(ast.Constant(str(meaning))):
                docs[name] = meaning
    rows = "".join(f"| `{state}` | {docs[state.name]} |\n" for state in states)
    return f"| {kind} | meaning |\n| --- | --- |\n{rows}"
