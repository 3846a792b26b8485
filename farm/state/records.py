"""What the state knows of one job and one package, and what follows from it: values and pure functions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from farm.errors import CancelledError, FarmError, StateError
from farm.model import ArchImage, Descriptor, JobState, PackageState, RunState


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Where one architecture's build stands, and why."""

    arch: str
    state: JobState
    at: float = 0.0
    """Unix time of the last change, seconds."""
    token: str = ""
    """The lease under which it is worked on."""
    worker: str = ""
    task: str = ""
    """The Celery task that does it."""
    started: float = 0.0
    lease: str = ""
    """Name of the lease under which it is worked on, or for which it waits."""
    behind: str = ""
    """Who does the same work already, so that this job waits for it."""
    lost: int = 0
    """How often its worker died with it."""
    resent: int = 0
    """How often in a row its message was lost on its way."""
    image: ArchImage | None = None
    error: FarmError | None = None

    @property
    def why(self) -> str:
        """The one sentence of a failure, or ""."""
        return str(self.error) if self.error else ""

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {
            "arch": self.arch,
            "state": str(self.state),
            "at": self.at,
            "started": self.started or None,
            "worker": self.worker or None,
            "task": self.task or None,
            "behind": self.behind or None,
            "lost": self.lost,
            "image": self.image.to_json() if self.image else None,
            "error": self.error.to_json() if self.error else None,
        }


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """Where one package stands, and why."""

    package: str
    reference: str
    state: PackageState
    at: float = 0.0
    token: str = ""
    """The lease under which it is published."""
    lease: str = ""
    """Name of that lease, or of the one for which it waits."""
    lost: int = 0
    """How often its publisher died with it."""
    resent: int = 0
    """How often in a row its message was lost on its way."""
    behind: str = ""
    """Who publishes another package under the same name, so that this one waits for it."""
    needs: tuple[str, ...] = ()
    """Packages of the run that must stand first."""
    index: Descriptor | None = None
    error: FarmError | None = None
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    """Architecture to job, in the order of the package's architectures."""

    @property
    def why(self) -> str:
        """The one sentence of a failure, or ""."""
        return str(self.error) if self.error else ""

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {
            "package": self.package,
            "reference": self.reference,
            "state": str(self.state),
            "at": self.at,
            "index": self.index.to_json() if self.index else None,
            "error": self.error.to_json() if self.error else None,
            "needs": list(self.needs),
            "behind": self.behind or None,
            "jobs": [job.to_json() for job in self.jobs.values()],
        }


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands."""

    id: str
    state: RunState
    submitter: str
    created: float
    finished: float | None
    packages: dict[str, PackageRecord]
    retry_of: str = ""
    """The run whose failed packages this one takes up again."""

    def named(self, name: str) -> str:
        """The package that somebody calls by its name, or by the last part of it.

        Raises:
            StateError: there is none, or there are several.
        """
        found = [one for one in self.packages if one == name] or [
            one for one in self.packages if one.endswith(f"/{name}")
        ]
        if len(found) != 1:
            what = f"several packages called {name}" if found else f"no package {name}"
            raise StateError(f"run {self.id} has {what}", hint=f"`farm status {self.id}` lists them")
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
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
    """The name of a job's record within its run."""
    return f"J {package} {arch}"


def package_field(package: str) -> str:
    """The name of a package's record within its run."""
    return f"P {package}"


def arch_of(field_name: str) -> str:
    """The architecture in the name of a job's record."""
    return field_name.rpartition(" ")[2]


def package_of(field_name: str) -> str:
    """The package in the name of a job's or a package's record."""
    kind, _, rest = field_name.partition(" ")
    return rest.rpartition(" ")[0] if kind == "J" else rest


def read_job(text: str) -> JobRecord:
    """A job's record out of its stored JSON."""
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
        behind=data.get("behind", ""),
        lost=data.get("lost", 0),
        resent=data.get("resent", 0),
        image=ArchImage.from_json(json.loads(data["image"])) if data.get("image") else None,
        error=FarmError.from_json(json.loads(data["error"])) if data.get("error") else None,
    )


def read_package(text: str, jobs: dict[str, JobRecord] | None = None) -> PackageRecord:
    """A package's record out of its stored JSON."""
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
        behind=data.get("behind", ""),
        index=Descriptor.from_json(json.loads(data["index"])) if data.get("index") else None,
        error=FarmError.from_json(json.loads(data["error"])) if data.get("error") else None,
        jobs=jobs or {},
    )


def failure_of(package: str, jobs: list[JobRecord]) -> FarmError | None:
    """Why a package cannot be published, once all of its jobs have ended; None while it still can."""
    if not all(job.state.ended for job in jobs):
        return None
    # A failure says more than a cancellation, which may have followed from it.
    failed = sorted(
        (job for job in jobs if not job.state.landed), key=lambda job: job.state.value, reverse=True
    )
    if not failed:
        return None
    first = failed[0].error or CancelledError(f"{package} {failed[0].arch}: {failed[0].state}")
    others = [f"{job.arch} {job.state} too" for job in failed[1:]]
    return type(first)("; ".join([first.message, *others]), hint=first.hint)
