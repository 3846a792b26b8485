"""Where builds, packages and runs stand."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where one architecture's build stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    LEASED = "leased"
    BUILDING = "building"
    PUSHING = "pushing"
    BUILT = "built"
    EXISTS = "exists"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self in _ENDED_JOBS

    @property
    def landed(self) -> bool:
        """Whether the image stands in the registry."""
        return self in (JobState.BUILT, JobState.EXISTS)


_ENDED_JOBS = frozenset({JobState.BUILT, JobState.EXISTS, JobState.FAILED, JobState.CANCELLED})


class PackageState(StrEnum):
    """Where one package stands."""

    WAITING = "waiting"
    BUILDING = "building"
    PUBLISHING = "publishing"
    PUSHED = "pushed"
    PUBLISHED = "published"
    SIGNED = "signed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the package by itself."""
        return self.stands or self in (PackageState.FAILED, PackageState.CANCELLED)

    @property
    def stands(self) -> bool:
        """Whether it is in the registry as asked for, so that dependents may start."""
        return self in (PackageState.PUSHED, PackageState.PUBLISHED, PackageState.SIGNED)


class RunState(StrEnum):
    """Where a submission stands."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the run by itself."""
        return self is not RunState.OPEN
