"""The values that the farm reasons about: frozen, comparable, and JSON at every boundary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from farm.errors import InputError

# The architectures that LinuxKit names, and how an OCI platform and the kernel (uname -m) spell each.
UNAME: dict[str, str] = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
}
ARCHES: tuple[str, ...] = tuple(UNAME)

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
DEFAULT_REGISTRY = "docker.io"
_ALIASES = {"index.docker.io": DEFAULT_REGISTRY}
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


def arch_of_uname(machine: str) -> str:
    """The LinuxKit name of what `uname -m` prints; the input itself where it has no other."""
    return next((arch for arch, name in UNAME.items() if name == machine), machine)


def _is_host(word: str) -> bool:
    """Whether docker takes the first part of a name for a registry."""
    return any(mark in word for mark in ".:") or word == "localhost"


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An OCI platform, such as linux/arm64/v8."""

    architecture: str
    os: str = "linux"
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def to_json(self) -> dict[str, str]:
        """The platform object of the OCI image index."""
        data = {"architecture": self.architecture, "os": self.os}
        return data | {"variant": self.variant} if self.variant else data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Platform:
        """The inverse of `to_json`; what an index says beyond these three is not ours."""
        return Platform(data["architecture"], data["os"], data.get("variant"))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI content descriptor: media type, sha256 digest, size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The descriptor object of the OCI specification."""
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            data["platform"] = self.platform.to_json()
        if self.annotations:
            data["annotations"] = dict(self.annotations)
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Descriptor:
        """The inverse of `to_json`."""
        platform = Platform.from_json(data["platform"]) if data.get("platform") else None
        annotations = tuple(sorted((data.get("annotations") or {}).items()))
        return Descriptor(data["mediaType"], data["digest"], data["size"], platform, annotations)


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """An image reference: registry host, repository, and a tag or a digest (or neither)."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @staticmethod
    def parse(text: str) -> Reference:
        """Read a reference as docker does: `alpine` is docker.io/library/alpine.

        Raises:
            InputError: the text is no reference.
        """
        rest, _, digest = text.partition("@")
        host, slash, path = rest.partition("/")
        named = bool(slash) and _is_host(host)
        registry, path = (_ALIASES.get(host, host), path) if named else (DEFAULT_REGISTRY, rest)
        path, colon, tag = path.partition(":")
        if registry == DEFAULT_REGISTRY and "/" not in path:
            path = f"library/{path}"
        valid = (
            _HOST.fullmatch(registry)
            and _REPOSITORY.fullmatch(path)
            and (not colon or _TAG.fullmatch(tag))
            and ("@" not in text or DIGEST.fullmatch(digest))
        )
        if not valid:
            raise InputError(
                f"{text!r} is no image reference", hint="write it as [HOST/]NAME[:TAG][@sha256:...]"
            )
        return Reference(registry, path, tag or None, digest or None)

    @property
    def name(self) -> str:
        """Registry and repository, such as docker.io/linuxkit/foo; this is also notary's GUN."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The reference as people write it: docker.io and library left out where they are implied."""
        first, *others = self.repository.split("/")
        if self.registry != DEFAULT_REGISTRY or _is_host(first):
            return str(self)
        implied = f"{first}/" if first == "library" and len(others) == 1 else ""
        return str(self).removeprefix(f"{DEFAULT_REGISTRY}/{implied}")

    @property
    def short(self) -> str:
        """The familiar reference without its registry, a hash tag cut to 8 digits: linuxkit/foo:ab12cd34."""
        tag = self.tag or ""
        cut = tag[:8] if re.fullmatch(r"[0-9a-f]{40}.*", tag) else tag
        return f"{self.repository}:{cut}" if cut else self.repository

    def or_latest(self) -> Reference:
        """The reference itself, or its tag latest where it has neither tag nor digest."""
        return self if self.tag or self.digest else self.with_tag("latest")

    def with_tag(self, tag: str) -> Reference:
        """The same repository at another tag."""
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: str) -> Reference:
        """The same repository, pinned to a digest."""
        return replace(self, tag=None, digest=digest)

    def for_arch(self, arch: str) -> Reference:
        """The tag that holds one architecture's image: NAME:TAG-ARCH."""
        return self.with_tag(f"{self.tag}-{arch}")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class ExtraSource:
    """A directory from elsewhere in the repository that is copied into the context at `dst`."""

    src: str
    dst: str


@dataclass(frozen=True, slots=True)
class DockerImages:
    """`depends.docker-images`: images saved as tar files into the build context."""

    images: tuple[str, ...] = ()
    from_file: str | None = None
    target: str | None = None
    target_dir: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What a job takes with it."""
        return {"images": list(self.images), "target": self.target, "target_dir": self.target_dir}

    @staticmethod
    def from_json(data: dict[str, Any]) -> DockerImages:
        """The inverse of `to_json`."""
        return DockerImages(tuple(data["images"]), None, data["target"], data["target_dir"])


@dataclass(frozen=True, slots=True)
class BuildYml:
    """A build.yml, read and validated; defaults as LinuxKit's."""

    image: str
    org: str = "linuxkit"
    tag: str = "{{.Hash}}"
    dockerfile: str = "Dockerfile"
    arches: tuple[str, ...] = ()
    extra_sources: tuple[ExtraSource, ...] = ()
    gitrepo: str | None = None
    network: bool = False
    disable_content_trust: bool = False
    disable_cache: bool = False
    config: str | None = None
    """The `config` mapping as compact JSON with sorted keys: the value of its label."""
    build_args: tuple[str, ...] = ()
    depends: DockerImages | None = None


@dataclass(frozen=True, slots=True)
class GitTree:
    """One directory of the context as git knows it.

    `path` is relative to the top of the repository; `tree` is the hex object name of the directory's
    tree; `dst` is where it stands in the context ("" for the package itself).
    """

    path: str
    tree: str
    dst: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A package at one commit: what build.yml says, what git says, and the name that follows."""

    directory: str
    """The directory as the user named it, for messages."""
    yml: BuildYml
    reference: Reference
    """NAME:TAG of the index."""
    hash: str
    """What the tag is made from: a git tree hash, a combined hash, or what the user gave."""
    repository: str
    """The absolute path of the git repository's working tree."""
    commit: str | None
    dirty: bool
    trees: tuple[GitTree, ...]
    """The package's own tree first, then each extra source in order."""

    @property
    def image(self) -> str:
        """org/image, the package's name in every message."""
        return f"{self.yml.org}/{self.yml.image}"


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
        """The inverse of `to_json`."""
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
class ArchImage:
    """One architecture's image in the registry: where it is, and the descriptor for the index.

    A tag may itself be an index (BuildKit attestations); then `descriptors` holds all its members.
    """

    arch: str
    reference: Reference
    descriptors: tuple[Descriptor, ...]

    def to_json(self) -> dict[str, Any]:
        """The image as it crosses the broker."""
        return {
            "arch": self.arch,
            "reference": str(self.reference),
            "descriptors": [descriptor.to_json() for descriptor in self.descriptors],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> ArchImage:
        """The inverse of `to_json`."""
        descriptors = tuple(Descriptor.from_json(item) for item in data["descriptors"])
        return ArchImage(data["arch"], Reference.parse(data["reference"]), descriptors)


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
