"""Steps that bring a record into a state by transitions of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from farm.model import JobState
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS
from farm.state import leases
from farm.state.records import Patch
from farm.state.runs import read_job, read_package
from farm.state.transitions import move_job, move_package
from tests.support import values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from farm.model import PackageState
    from farm.state.records import JobRecord, PackageRecord
    from farm.state.run_handles import JobHandle, PackageHandle

S = TypeVar("S", bound="StrEnum")


def drive_job(job: JobHandle, to: JobState, patch: Patch | None = None) -> JobRecord:
    """Move a job to a state by as few transitions as possible; the last one writes the patch."""
    record = read_job(job)
    assert record is not None
    *between, last = shortest(JOB_TRANSITIONS, record.state, to)
    for state in between:
        assert move_job(job, state)
    moved = move_job(job, last, patch or Patch())
    assert moved is not None
    return moved


def drive_package(package: PackageHandle, to: PackageState, patch: Patch | None = None) -> PackageRecord:
    """Move a package to a state by as few transitions as possible; the last one writes the patch."""
    *between, last = shortest(PACKAGE_TRANSITIONS, read_package(package).state, to)
    for state in between:
        assert move_package(package, state)
    moved = move_package(package, last, patch or Patch())
    assert moved is not None
    return moved


def begin(job: JobHandle) -> leases.Lease:
    """A worker accepts the job."""
    name = leases.job_lease(values.job(job.arch, package=job.package.name))
    lease = leases.take(job.store, name, duration=60, holder="r1 w1")
    drive_job(job, JobState.BUILDING, Patch(token=lease.token, lease=lease.name, worker="w1"))
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
