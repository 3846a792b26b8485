"""The records of jobs, packages and runs, and what follows from them: values and pure functions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from farm.errors import CancelledError, FarmError, StateError
from farm.model import ArchImage, Descriptor, JobState, PackageState, RunState


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The state of one job, and its reason."""

    arch: str
    state: JobState
    at: float = 0.0
    """Unix time of the last change, seconds."""
    token: str = ""
    """Fencing token of the lease under which it is, or was, in progress; "" before that."""
    worker: str = ""
    task: str = ""
    """The Celery task that does it."""
    started: float = 0.0
    lease: str = ""
    """Name of that lease, or of the one for which it waits."""
    waiting_for: str = ""
    """The holder of the lease for which it waits, "" for none."""
    lost: int = 0
    """How often its worker was lost."""
    resent: int = 0
    """How often in a row its message was lost."""
    image: ArchImage | None = None
    error: FarmError | None = None

    @property
    def why(self) -> str:
        """The error in one sentence, "" where there is none."""
        return str(self.error) if self.error else ""

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "arch": self.arch,
            "state": str(self.state),
            "at": self.at,
            "started": self.started or None,
            "worker": self.worker or None,
            "task": self.task or None,
            "behind": self.waiting_for or None,
            "lost": self.lost,
            "image": self.image.to_json() if self.image else None,
            "error": self.error.to_json() if self.error else None,
        }


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """The state of one package, and its reason."""

    package: str
    reference: str
    state: PackageState
    at: float = 0.0
    token: str = ""
    """Fencing token of the lease under which it is, or was, published; "" before that."""
    lease: str = ""
    """Name of that lease, or of the one for which it waits."""
    lost: int = 0
    """How often its publisher was lost."""
    resent: int = 0
    """How often in a row its message was lost."""
    waiting_for: str = ""
    """The holder of the lease for which it waits, "" for none."""
    needs: tuple[str, ...] = ()
    """Its dependencies, by name."""
    index: Descriptor | None = None
    error: FarmError | None = None
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    """Architecture to job, in the order of the package's architectures."""

    @property
    def why(self) -> str:
        """The error in one sentence, "" where there is none."""
        return str(self.error) if self.error else ""

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
            "behind": self.waiting_for or None,
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

    def find_package(self, name: str) -> str:
        """Return the full name of the package with this name, or with this last part of its name.

        Raises:
            StateError: there is none, or more than one.
        """
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
            "state": str(self.state),
            "submitter": self.submitter,
            "created": self.created,
            "finished": self.finished,
            "packages": [package.to_json() for package in self.packages.values()],
        }


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
    """Parse a job's record from its stored JSON; fields of a later version are ignored."""
    data = json.loads(text)
    return JobRecord(
        arch=data["arch"],
        state=JobState(data["state"]),
        at=data.get("at", 0.0),
        token=data.get("token", ""),
        worker=data.get("worker", ""),
        task=data.get("task", ""),
        started=data.get("started", 0.0),
        lease=data.get("lease", ""),
        waiting_for=data.get("waiting_for", ""),
        lost=data.get("lost", 0),
        resent=data.get("resent", 0),
        image=ArchImage.from_json(json.loads(data["image"])) if data.get("image") else None,
        error=FarmError.from_json(json.loads(data["error"])) if data.get("error") else None,
    )


def parse_package(text: str, jobs: dict[str, JobRecord] | None = None) -> PackageRecord:
    """Parse a package's record from its stored JSON; fields of a later version are ignored."""
    data = json.loads(text)
    return PackageRecord(
        package=data["package"],
        reference=data["reference"],
        state=PackageState(data["state"]),
        at=data.get("at", 0.0),
        token=data.get("token", ""),
        lease=data.get("lease", ""),
        lost=data.get("lost", 0),
        resent=data.get("resent", 0),
        waiting_for=data.get("waiting_for", ""),
        index=Descriptor.from_json(json.loads(data["index"])) if data.get("index") else None,
        error=FarmError.from_json(json.loads(data["error"])) if data.get("error") else None,
        jobs=jobs or {},
    )


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
