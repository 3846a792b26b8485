"""The work of a run: jobs, packages, releases; JSON at every boundary."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from farm.errors import InputError
from farm.model.images import ArchImage, fields_as_json
from farm.model.package import DockerImages
from farm.model.reference import Reference


@dataclass(frozen=True, slots=True)
class Job:
    """The build of one package for one architecture: everything that a worker needs, and no secret."""

    run: str
    package: str
    reference: Reference
    """NAME:TAG of the index; the job pushes `reference.for_arch(arch)`."""
    arch: str
    hash: str
    """What the tag is made from; by default the same as `tree`."""
    tree: str
    """The hash of what is built; the worker computes it again from the context and compares."""
    tag: str
    """The template of reference.tag; the worker fills it with `hash` again and compares."""
    context: str
    """Digest of the uncompressed tar: sha256:..."""
    destinations: tuple[str, ...] = ()
    """The directory of each extra source in the context, in the order of build.yml."""
    submodules: tuple[tuple[str, int, str], ...] = ()
    """The place in the context, `within` and `commit` of each submodule."""
    dockerfile: str = "Dockerfile"
    network: bool = False
    no_cache: bool = False
    force: bool = False
    """Whether to build although the image is in the registry."""
    labels: tuple[tuple[str, str], ...] = ()
    build_args: tuple[tuple[str, str], ...] = ()
    depends: DockerImages | None = None
    """Images that the worker adds to the context, each pinned by its digest."""

    @property
    def title(self) -> str:
        """The name that operators see: linuxkit/foo:ab12cd34 s390x."""
        return f"{self.reference.short} {self.arch}"

    def to_json(self) -> dict[str, Any]:
        """The job as a message contains it."""
        return fields_as_json(self) | {"labels": dict(self.labels), "build_args": dict(self.build_args)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Job:
        """The inverse of `to_json`; unknown fields are an error, as without them another image is built."""
        if unknown := data.keys() - {known.name for known in fields(Job)}:
            names = ", ".join(sorted(unknown))
            raise InputError(
                f"the job has fields that this version of the farm does not know: {names}",
                hint="upgrade this worker",
            )
        return Job(
            **{
                "tree": data["hash"],  # a job of an earlier version has none
                **data,
                "reference": Reference.parse(data["reference"]),
                "destinations": tuple(data["destinations"]),
                "submodules": tuple(tuple(one) for one in data.get("submodules", ())),
                "labels": tuple(data["labels"].items()),
                "build_args": tuple(data["build_args"].items()),
                "depends": DockerImages.from_json(data["depends"]) if data.get("depends") else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """An index to publish, and sign if asked for, under another tag of its repository too: a release."""

    source: Reference
    tag: str
    sign: bool

    @property
    def target(self) -> Reference:
        """NAME:RELEASE."""
        return self.source.with_tag(self.tag)

    def to_json(self) -> dict[str, Any]:
        """The copy as Redis stores it."""
        return fields_as_json(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Copy:
        """The inverse of `to_json`."""
        return Copy(Reference.parse(data["source"]), data["tag"], data["sign"])


@dataclass(frozen=True, slots=True)
class PackageWork:
    """What one run has to do for one package: the images that are missing, and those that exist."""

    package: str
    reference: Reference
    arches: tuple[str, ...]
    """Every architecture that the index must contain."""
    jobs: tuple[Job, ...] = ()
    existing: tuple[ArchImage, ...] = ()
    """Images that were in the registry when the run was planned."""
    needs: tuple[str, ...] = ()
    """Packages of the same run that must succeed first, by name."""
    sign: bool = True
    partial: bool = False
    """Whether the index may be published while an architecture is missing."""
    images_only: bool = False
    """Whether only the images are asked for, and the index stays as it is."""
    copies: tuple[Copy, ...] = ()
    """With these, the work is a release and no package: it publishes all of them, or none."""

    def to_json(self) -> dict[str, Any]:
        """The work as Redis stores it."""
        return fields_as_json(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> PackageWork:
        """The inverse of `to_json`."""
        return PackageWork(
            package=data["package"],
            reference=Reference.parse(data["reference"]),
            arches=tuple(data["arches"]),
            jobs=tuple(Job.from_json(job) for job in data["jobs"]),
            existing=tuple(ArchImage.from_json(image) for image in data["existing"]),
            needs=tuple(data["needs"]),
            sign=data["sign"],
            partial=data["partial"],
            images_only=data.get("images_only", False),
            copies=tuple(Copy.from_json(copy) for copy in data.get("copies", ())),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One submission: its name (r42-k3f9), its submitter, and the work of each of its packages."""

    id: str
    submitter: str
    created: float
    """Unix time, seconds."""
    works: tuple[PackageWork, ...] = ()
    retry_of: str = ""
    """The run that this one repeats, "" for none."""

    @property
    def queues(self) -> set[str]:
        """The architectures of all its builds, and "publish"."""
        return {job.arch for work in self.works for job in work.jobs} | {"publish"}
