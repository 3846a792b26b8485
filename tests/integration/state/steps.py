"""Steps that bring a record into a state by transitions of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from farm.model import JobState
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS
from farm.state import leases
from farm.state.records import JobPatch, Patch
from farm.state.run_handles import JobHandle
from farm.state.runs import read_job, read_package
from farm.state.transitions import move_job, move_package
from tests.support import values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from farm.model import PackageState
    from farm.state.run_handles import PackageHandle

S = TypeVar("S", bound="StrEnum")


def drive(handle: JobHandle | PackageHandle, to: JobState | PackageState, patch: Patch | None = None) -> None:
    """Move a job or package to a state by as few transitions as possible; the last one writes the patch."""
    one_job = isinstance(handle, JobHandle)
    read: Any = read_job if one_job else read_package
    move: Any = move_job if one_job else move_package
    table: Any = JOB_TRANSITIONS if one_job else PACKAGE_TRANSITIONS
    *between, last = shortest(table, read(handle).state, to)
    for state in between:
        assert move(handle, state)
    assert move(handle, last, patch or Patch())


def begin(job: JobHandle) -> leases.Lease:
    """A worker accepts the job."""
    name = leases.job_lease(values.job(job.arch, package=job.package.name))
    lease = leases.take(job.store, name, duration=60, holder="r1 w1")
    drive(job, JobState.BUILDING, JobPatch(token=lease.token, lease=lease.name, worker="w1"))
    return lease


def begin_and_die(job: JobHandle) -> None:
    """A worker accepts the job, dies, and loses its lease."""
    leases.release(job.store, begin(job))


def shortest(transitions: Mapping[S, Mapping[S, str]], start: S, end: S) -> list[S]:
    """The states after `start` on the shortest way to `end`."""
    ways = [[state] for state in transitions[start]]
    while ways[0][-1] != end:
        way = ways.pop(0)
        ways += [[*way, state] for state in transitions[way[-1]]]
    return ways[0]
