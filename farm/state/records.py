"""The records of jobs, packages and runs, what a transition writes to them, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from farm.errors import CancelledError, FarmError, StateError
from farm.model import ArchImage, Descriptor, JobState, PackageState, RunPriority, RunState

if TYPE_CHECKING:
    from collections.abc import Callable


def known_priority(text: str | None) -> RunPriority:
    """A stored priority; normal for a run of an earlier release, and for what is none."""
    return RunPriority(text) if text in list(RunPriority) else RunPriority.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What the records of jobs and packages have in common."""

    at: float = 0.0
    """Unix time of the last change, seconds."""
    token: str = ""
    """Fencing token of the lease under which it is, or was, in progress; "" before that."""
    lease: str = ""
    """Name of that lease, or of the one for which it waits."""
    lost: int = 0
    """How often its worker or publisher was lost."""
    resent: int = 0
    """How often in a row its message was lost."""
    waiting_for: str = ""
    """The holder of the lease for which it waits, "" for none."""
    error: FarmError | None = None


@dataclass(frozen=True, slots=True)
class JobRecord(_Record):
    """The state of one job, and its reason."""

    arch: str
    state: JobState
    worker: str = ""
    task: str = ""
    """The Celery task that does it."""
    started: float = 0.0
    image: ArchImage | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "arch": self.arch,
            "state": str(self.state),
            "at": self.at,
            "started": self.started or None,
            "worker": self.worker or None,
            "task": self.task or None,
            "waitingFor": self.waiting_for or None,
            "lost": self.lost,
            "image": self.image.to_json() if self.image else None,
            "error": self.error.to_json() if self.error else None,
        }


@dataclass(frozen=True, slots=True)
class PackageRecord(_Record):
    """The state of one package, and its reason."""

    package: str
    reference: str
    state: PackageState
    needs: tuple[str, ...] = ()
    """Its dependencies, by name."""
    index: Descriptor | None = None
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    """Architecture to job, in the order of the package's architectures."""

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "package": self.package,
            "reference": self.reference,
            "state": str(self.state),
            "at": self.at,
            "index": self.index.to_json() if self.index else None,
            "error": self.error.to_json() if self.error else None,
            "needs": list(self.needs),
            "waitingFor": self.waiting_for or None,
            "jobs": [job.to_json() for job in self.jobs.values()],
        }


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The state of one run with all its packages."""

    id: str
    state: RunState
    submitter: str
    created: float
    finished: float | None
    packages: dict[str, PackageRecord]
    retry_of: str = ""
    """The run that this one repeats, "" for none."""
    priority: RunPriority = RunPriority.NORMAL

    def find_package(self, name: str) -> str:
        """The package with this name or this last part of it; StateError for none or several."""
        found = [one for one in self.packages if one == name] or [
            one for one in self.packages if one.endswith(f"/{name}")
        ]
        if len(found) != 1:
            what = f"several packages called {name}" if found else f"no package {name}"
            raise StateError(f"run {self.id} has {what}", hint=f"`farm status {self.id}` lists them")
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "run": self.id,
            "retryOf": self.retry_of or None,
            "priority": str(self.priority),
            "state": str(self.state),
            "submitter": self.submitter,
            "created": self.created,
            "finished": self.finished,
            "packages": [package.to_json() for package in self.packages.values()],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What a transition writes to a record beside its state; None leaves a field as it is.

    A text is cleared with ""; image and index are never cleared. The last three belong to one state only: a
    transition that does not set them clears them.
    """

    token: str | None = None
    lease: str | None = None
    lost: int | None = None
    waiting_for: str = ""
    resent: int = 0
    error: FarmError | None = None

    def to_json(self) -> dict[str, str | float]:
        """The fields to write, each as a string or number.

        Redis' cjson does not keep nested values: it turns an empty array into an object.
        https://redis.io/docs/latest/develop/programmability/lua-api/#cjson-library
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        nested = {name: json.dumps(values[name].to_json()) for name in _NESTED if values.get(name)}
        return {name: value for name, value in (values | {"error": ""} | nested).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPatch(Patch):
    """What a transition of a job writes."""

    worker: str | None = None
    task: str | None = None
    started: float | None = None
    image: ArchImage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePatch(Patch):
    """What a transition of a package writes."""

    index: Descriptor | None = None


def job_field(package: str, arch: str) -> str:
    """The field of a job's record in its run's hash."""
    return f"J {package} {arch}"


def package_field(package: str) -> str:
    """The field of a package's record in its run's hash."""
    return f"P {package}"


def arch_of(record_field: str) -> str:
    """The architecture in the field of a job's record."""
    return record_field.rpartition(" ")[2]


def package_of(record_field: str) -> str:
    """The package in the field of a job's or a package's record."""
    kind, _, rest = record_field.partition(" ")
    return rest.rpartition(" ")[0] if kind == "J" else rest


def parse_job(text: str) -> JobRecord:
    """Parse a job's record from its stored JSON."""
    data = _stored_fields(JobRecord, text)
    return JobRecord(**data | {"state": JobState(data["state"])})


def parse_package(text: str, jobs: dict[str, JobRecord] | None = None) -> PackageRecord:
    """Parse a package's record from its stored JSON."""
    data = _stored_fields(PackageRecord, text)
    return PackageRecord(**data | {"state": PackageState(data["state"]), "jobs": jobs or {}})


_NESTED: dict[str, Callable[[dict[str, Any]], object]] = {
    "image": ArchImage.from_json,
    "index": Descriptor.from_json,
    "error": FarmError.from_json,
}
"""Fields that are stored as JSON in a string; "" for None."""


def _stored_fields(kind: type[_Record], text: str) -> dict[str, Any]:
    """The stored fields that this version knows; those of a later version are ignored."""
    data = json.loads(text)
    known = {item.name: data[item.name] for item in fields(kind) if item.name in data}
    nested = {
        name: from_json(json.loads(known[name])) if known[name] else None
        for name, from_json in _NESTED.items()
        if name in known
    }
    return known | nested


def failure_of(package: str, jobs: list[JobRecord]) -> FarmError | None:
    """Why a package cannot be published, once all of its jobs have ended; None while it still can be."""
    if not all(job.state.ended for job in jobs):
        return None
    # A failure comes first: the cancellation of another job may be its consequence.
    failed = sorted(
        (job for job in jobs if not job.state.succeeded), key=lambda job: job.state.value, reverse=True
    )
    if not failed:
        return None
    first = failed[0].error or CancelledError(f"{package} {failed[0].arch}: {failed[0].state}")
    others = [f"{job.arch} {job.state} too" for job in failed[1:]]
    return type(first)("; ".join([first.message, *others]), hint=first.hint)
