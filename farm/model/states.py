"""The states of jobs, packages and runs, and the only tables that say which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias, TypeVar

S = TypeVar("S", bound=StrEnum)
Transitions: TypeAlias = Mapping[S, Mapping[S, str]]


class JobState(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    """its package waits for its dependencies, or it is ready, and it is not its turn"""
    QUEUED = "queued"
    """its message is in its architecture's queue, or it waits for another run's build of the same image"""
    LEASED = "leased"
    """a worker holds its lease"""
    BUILDING = "building"
    """the builder builds the image"""
    PUSHING = "pushing"
    """the builder pushes the image"""
    BUILT = "built"
    """the image was built and is in the registry"""
    EXISTS = "exists"
    """the image was in the registry already"""
    FAILED = "failed"
    """it failed for good; the error says why"""
    CANCELLED = "cancelled"
    """it was cancelled, or a dependency of its package failed"""

    @property
    def ended(self) -> bool:
        """Whether no state may follow."""
        return not JOB_TRANSITIONS[self]

    @property
    def succeeded(self) -> bool:
        """Whether the image is in the registry."""
        return self in (JobState.BUILT, JobState.EXISTS)

    @property
    def in_progress(self) -> bool:
        """Whether a worker holds the job's lease."""
        return self in (JobState.LEASED, JobState.BUILDING, JobState.PUSHING)


class PackageState(StrEnum):
    """The state of a package."""

    WAITING = "waiting"
    """it waits for its dependencies"""
    BUILDING = "building"
    """its jobs were dispatched"""
    PUBLISHING = "publishing"
    """a publisher holds the lease on its repository"""
    PUSHED = "pushed"
    """its images are pushed, and no index was asked for"""
    PUBLISHED = "published"
    """its index is published, and no signature was asked for"""
    SIGNED = "signed"
    """its index is published and signed"""
    FAILED = "failed"
    """a job, the index or the signature failed; images that were pushed remain"""
    CANCELLED = "cancelled"
    """it, one of its jobs or one of its dependencies was cancelled"""

    @property
    def ended(self) -> bool:
        """Whether no state may follow."""
        return not PACKAGE_TRANSITIONS[self]

    @property
    def succeeded(self) -> bool:
        """Whether it is in the registry as asked for, so that its dependents may start."""
        return self in (PackageState.PUSHED, PackageState.PUBLISHED, PackageState.SIGNED)

    @property
    def in_progress(self) -> bool:
        """Whether a publisher holds the package's lease."""
        return self is PackageState.PUBLISHING


class RunState(StrEnum):
    """The state of a run."""

    OPEN = "open"
    """a package has not ended"""
    DONE = "done"
    """every package succeeded"""
    FAILED = "failed"
    """a package failed"""
    CANCELLED = "cancelled"
    """a package was cancelled, none failed"""

    @property
    def ended(self) -> bool:
        """Whether no state may follow."""
        return not RUN_TRANSITIONS[self]


class RunPriority(StrEnum):
    """How much of the workers a run gets beside others."""

    HIGH = "high"
    """four times as much as others"""
    NORMAL = "normal"
    LOW = "low"
    """a quarter of what others get"""


# State to the states that may follow it, each with the reason; a state without a row of its own is final.
# A record carries a fencing token only while it is in progress and after that, so whatever follows in the
# name of a lease's holder starts from a state in progress. A replica of Redis that takes over may lack the
# last second: then a holder may skip the states that were lost.
_FAILOVER = "a Redis failover lost the states between"

JOB_TRANSITIONS: Transitions[JobState] = {state: {} for state in JobState} | {
    JobState.WAITING: {
        JobState.QUEUED: "dispatch",
        JobState.LEASED: _FAILOVER,
        JobState.CANCELLED: "",
    },
    JobState.QUEUED: {
        JobState.QUEUED: "dispatched again, or waiting for a lease",
        JobState.LEASED: "",
        JobState.FAILED: "dispatched or lost too often",
        JobState.CANCELLED: "",
    },
    JobState.LEASED: {
        JobState.QUEUED: "handed back, or lost",
        JobState.LEASED: "another task took the expired lease",
        JobState.BUILDING: "",
        JobState.PUSHING: _FAILOVER,
        JobState.BUILT: _FAILOVER,
        JobState.EXISTS: "",
        JobState.FAILED: "",
        JobState.CANCELLED: "",
    },
    JobState.BUILDING: {
        JobState.QUEUED: "handed back, or lost",
        JobState.LEASED: "another task took the expired lease",
        JobState.BUILDING: "next attempt",
        JobState.PUSHING: "",
        JobState.BUILT: "next attempt finds the pushed image",
        JobState.EXISTS: "next attempt finds an image of another worker",
        JobState.FAILED: "",
        JobState.CANCELLED: "",
    },
    JobState.PUSHING: {
        JobState.QUEUED: "handed back, or lost",
        JobState.LEASED: "another task took the expired lease",
        JobState.BUILDING: "next attempt, after the engine lost the image",
        JobState.PUSHING: "next attempt",
        JobState.BUILT: "",
        JobState.FAILED: "",
        JobState.CANCELLED: "",
    },
}

PACKAGE_TRANSITIONS: Transitions[PackageState] = {state: {} for state in PackageState} | {
    PackageState.WAITING: {
        PackageState.BUILDING: "dependencies succeeded",
        PackageState.PUBLISHING: _FAILOVER,
        PackageState.FAILED: "a dependency failed",
        PackageState.CANCELLED: "",
    },
    PackageState.BUILDING: {
        PackageState.BUILDING: "publication dispatched again, or waiting for the lease",
        PackageState.PUBLISHING: "jobs succeeded",
        PackageState.FAILED: "a job failed, or the publication was given up",
        PackageState.CANCELLED: "",
    },
    PackageState.PUBLISHING: {
        PackageState.BUILDING: "lost",
        PackageState.PUBLISHING: "another task took the expired lease",
        PackageState.PUSHED: "",
        PackageState.PUBLISHED: "",
        PackageState.SIGNED: "",
        PackageState.FAILED: "",
        PackageState.CANCELLED: "",
    },
}

RUN_TRANSITIONS: Transitions[RunState] = {state: {} for state in RunState} | {
    RunState.OPEN: {RunState.DONE: "", RunState.FAILED: "", RunState.CANCELLED: ""},
}

JOBS_IN_PROGRESS = tuple(state for state in JobState if state.in_progress)


def sources(transitions: Transitions[S], target: S) -> tuple[S, ...]:
    """The states that `target` may follow."""
    return tuple(state for state, targets in transitions.items() if target in targets)
