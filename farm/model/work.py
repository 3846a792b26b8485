"""What is to do: jobs, the work of a package, a run; JSON at every boundary."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from farm.errors import InputError
from farm.model.images import ArchImage
from farm.model.package import DockerImages
from farm.model.reference import Reference


@dataclass(frozen=True, slots=True)
class Job:
    """One architecture's build of one package: all that a worker must know, and no secret."""

    run: str
    package: str
    reference: Reference
    """NAME:TAG of the index; the job pushes `reference.for_arch(arch)`."""
    arch: str
    hash: str
    tag: str
    """The tag template that made reference.tag out of `hash`; the worker makes it again, and compares."""
    context: str
    """sha256:... of the plain tar."""
    destinations: tuple[str, ...] = ()
    """Where each extra source stands in the context, in the order of build.yml."""
    dockerfile: str = "Dockerfile"
    network: bool = False
    no_cache: bool = False
    force: bool = False
    """Whether to build although the image stands in the registry."""
    labels: tuple[tuple[str, str], ...] = ()
    build_args: tuple[tuple[str, str], ...] = ()
    depends: DockerImages | None = None
    """Images that the worker adds to the context, each pinned by its digest."""

    @property
    def title(self) -> str:
        """How the job is named to operators: linuxkit/foo:ab12cd34 s390x."""
        return f"{self.reference.short} {self.arch}"

    def to_json(self) -> dict[str, Any]:
        """The job as it crosses the broker."""
        return {
            "run": self.run,
            "package": self.package,
            "reference": str(self.reference),
            "arch": self.arch,
            "hash": self.hash,
            "tag": self.tag,
            "context": self.context,
            "destinations": list(self.destinations),
            "dockerfile": self.dockerfile,
            "network": self.network,
            "no_cache": self.no_cache,
            "force": self.force,
            "labels": dict(self.labels),
            "build_args": dict(self.build_args),
            "depends": self.depends.to_json() if self.depends else None,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Job:
        """The inverse of `to_json`.

        Raises:
            InputError: it asks for more than this version knows; to leave that out would make another image.
        """
        if unknown := data.keys() - {known.name for known in fields(Job)}:
            names = ", ".join(sorted(unknown))
            raise InputError(
                f"the job asks for {names}, which this version of the farm does not know",
                hint="upgrade this worker",
            )
        return Job(
            **{
                **data,
                "reference": Reference.parse(data["reference"]),
                "destinations": tuple(data["destinations"]),
                "labels": tuple(data["labels"].items()),
                "build_args": tuple(data["build_args"].items()),
                "depends": DockerImages.from_json(data["depends"]) if data.get("depends") else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """An index that is to stand, and be signed, under another tag of its repository too: a release."""

    source: Reference
    tag: str
    sign: bool

    @property
    def target(self) -> Reference:
        """NAME:RELEASE."""
        return self.source.with_tag(self.tag)

    def to_json(self) -> dict[str, Any]:
        """The copy as the state holds it."""
        return {"source": str(self.source), "tag": self.tag, "sign": self.sign}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Copy:
        """The inverse of `to_json`."""
        return Copy(Reference.parse(data["source"]), data["tag"], data["sign"])


@dataclass(frozen=True, slots=True)
class PackageWork:
    """What one run has to do for one package: the builds that are missing, and what stands already."""

    package: str
    reference: Reference
    arches: tuple[str, ...]
    """Every architecture that the index must hold."""
    jobs: tuple[Job, ...] = ()
    standing: tuple[ArchImage, ...] = ()
    needs: tuple[str, ...] = ()
    """Packages of the same run that must stand first, by name."""
    sign: bool = True
    partial: bool = False
    """Whether the index may be published while an architecture is missing."""
    images_only: bool = False
    """Whether the images are all that is wanted, and the index is left as it is."""
    copies: tuple[Copy, ...] = ()
    """With these, the work is no package's but a release: it publishes all of them, or none."""

    def to_json(self) -> dict[str, Any]:
        """The work as the state holds it."""
        return {
            "package": self.package,
            "reference": str(self.reference),
            "arches": list(self.arches),
            "jobs": [job.to_json() for job in self.jobs],
            "standing": [image.to_json() for image in self.standing],
            "needs": list(self.needs),
            "sign": self.sign,
            "partial": self.partial,
            "images_only": self.images_only,
            "copies": [copy.to_json() for copy in self.copies],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> PackageWork:
        """The inverse of `to_json`."""
        return PackageWork(
            package=data["package"],
            reference=Reference.parse(data["reference"]),
            arches=tuple(data["arches"]),
            jobs=tuple(Job.from_json(job) for job in data["jobs"]),
            standing=tuple(ArchImage.from_json(image) for image in data["standing"]),
            needs=tuple(data["needs"]),
            sign=data["sign"],
            partial=data["partial"],
            images_only=data.get("images_only", False),
            copies=tuple(Copy.from_json(copy) for copy in data.get("copies", ())),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One submission: its name (r42), who made it, and the work of each of its packages."""

    id: str
    submitter: str
    created: float
    """Unix time, seconds."""
    works: tuple[PackageWork, ...] = field(default=())
    retry_of: str = ""
    """The run whose failed packages this one takes up again; "" for a submission."""

    @property
    def queues(self) -> set[str]:
        """The architectures of all its builds, and "publish"."""
        return {job.arch for work in self.works for job in work.jobs} | {"publish"}
