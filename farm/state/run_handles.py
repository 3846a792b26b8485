"""Handles: the names of a run, a package or a job, with the store that holds its records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.state.records import job_field, package_field
from farm.state.store import run_key

if TYPE_CHECKING:
    from farm.model import Job
    from farm.state.store import Store


@dataclass(frozen=True, slots=True)
class RunHandle:
    """One run in a store."""

    store: Store
    id: str

    def __str__(self) -> str:
        return self.id

    def key(self, part: str) -> str:
        """The Redis key of one part of the run."""
        return run_key(self.id, part)

    def package(self, name: str) -> PackageHandle:
        """One package of the run."""
        return PackageHandle(self, name)


@dataclass(frozen=True, slots=True)
class PackageHandle:
    """One package of a run."""

    run: RunHandle
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def store(self) -> Store:
        """The store that holds the run."""
        return self.run.store

    @property
    def field(self) -> str:
        """The field of its record in the run's hash."""
        return package_field(self.name)

    def job(self, arch: str) -> JobHandle:
        """One job of the package."""
        return JobHandle(self, arch)


@dataclass(frozen=True, slots=True)
class JobHandle:
    """One job of a package."""

    package: PackageHandle
    arch: str

    @staticmethod
    def of(store: Store, job: Job) -> JobHandle:
        """The handle of a job in the store that holds its run."""
        return RunHandle(store, job.run).package(job.package).job(job.arch)

    def __str__(self) -> str:
        return f"{self.package} {self.arch}"

    @property
    def run(self) -> RunHandle:
        """The run of the job."""
        return self.package.run

    @property
    def store(self) -> Store:
        """The store that holds the run."""
        return self.package.run.store

    @property
    def field(self) -> str:
        """The field of its record in the run's hash."""
        return job_field(self.package.name, self.arch)
