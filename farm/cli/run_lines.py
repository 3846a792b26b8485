"""A run as lines: one for each change that matters to the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.model import JobState, PackageState
from farm.state.records import arch_of, package_of

if TYPE_CHECKING:
    from farm.state.records import RunRecord

# The words for each state; a change to a state without words has no line.
_WORDS = {
    JobState.BUILDING: "building",
    JobState.PUSHING: "pushing",
    JobState.BUILT: "built",
    JobState.EXISTS: "already exists",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def change_line(record: RunRecord, field: str) -> str | None:
    """The line for a change of the record in `field`, None where it has none."""
    name = package_of(field)
    if field.startswith("P "):
        package = record.packages[name]
        seconds = package.at - record.created
        return (
            f"{seconds:6.1f}s  {name}: {package.state}"
            if package.state is not PackageState.BUILDING
            else None
        )
    if field.startswith("J "):
        job = record.packages[name].jobs[arch_of(field)]
        words = _WORDS.get(job.state)
        where = f" on {job.worker}" if job.state is JobState.BUILDING and job.worker else ""
        return f"{job.at - record.created:6.1f}s  {name} {job.arch}: {words}{where}" if words else None
    return None
