"""The work of a run: jobs, packages, releases; JSON at every boundary."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from farm.model.arches import ARCHES
from farm.model.digests import digest_of
from farm.model.docker_images import DockerImages
from farm.model.images import ArchImage
from farm.model.reference import Reference
from farm.model.states import RunPriority
from farm.model.wire import each, from_wire, to_wire

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    context_size: int = 0
    """Bytes of the uncompressed tar."""
    bases: tuple[tuple[str, str], ...] = ()
    """Base images by NAME:TAG, each with what it must be: a digest, or the tree that it is built from."""
    build_yml: str = "build.yml"
    """The place of the package's build.yml in the context."""
    other_than: tuple[str, ...] = ()
    """Digests of the keys of workers that leave the job to another one."""

    @property
    def recipe(self) -> str:
        """sha256:HEX of what decides the image's bytes, whichever commit it is built from.

        The tree says what the context is. What only names the commit is left out, so that an image that was
        built from an earlier commit with the same tree is the same work.
        """
        wire = self.to_json()
        args = {name: value for name, value in self.build_args if name not in _OF_COMMIT}
        decisive = {name: wire[name] for name in _DECISIVE if name in wire} | {"build_args": args}
        return digest_of(canonical(decisive))

    @property
    def title(self) -> str:
        """The name that operators see: linuxkit/foo:ab12cd34 s390x."""
        return f"{self.reference.short} {self.arch}"

    def to_json(self) -> dict[str, Any]:
        """The job as a message contains it."""
        pairs = {"labels": dict(self.labels), "build_args": dict(self.build_args)}
        return to_wire(self) | {name: value for name, value in pairs.items() if value}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Job:
        """The inverse of `to_json`."""
        # A job of an earlier release has no tree.
        complete = {"tree": data["hash"]} | data if "hash" in data else data
        return from_wire(
            Job,
            complete,
            reference=Reference.parse,
            labels=_pairs,
            build_args=_pairs,
            depends=lambda images: DockerImages.from_json(images) if images else None,
        )


_DECISIVE = (
    "arch",
    "tree",
    "reference",
    "destinations",
    "submodules",
    "dockerfile",
    "network",
    "depends",
)
"""The fields of a job that decide the image's bytes, beside its build arguments."""
_OF_COMMIT = ("REVISION", "GOPKGVERSION", "SOURCE_DATE_EPOCH")
"""The build arguments that only say which commit the image is built from."""


def canonical(data: Any) -> bytes:
    """JSON with one spelling: the same data give the same bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _pairs(data: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(data.items())


@dataclass(frozen=True, slots=True)
class Copy:
    """What a tag of the same repository is to refer to, and be signed as, too: another one for a release."""

    source: Reference
    """NAME:TAG for which the workers have built it."""
    tag: str
    sign: bool
    tree: str = ""
    """The hash of what its images are built from."""
    digest: str = ""
    """What to sign; "" for what is published under the source's tag by then."""

    @property
    def target(self) -> Reference:
        """NAME:RELEASE."""
        return self.source.with_tag(self.tag)

    @property
    def arch(self) -> str:
        """The architecture whose image has the tag: that of NAME:TAG-ARCH for NAME:TAG; "" for an index."""
        return next((arch for arch in ARCHES if self.target == self.source.for_arch(arch)), "")

    def to_json(self) -> dict[str, Any]:
        """The copy as Redis stores it."""
        return to_wire(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Copy:
        """The inverse of `to_json`."""
        return from_wire(Copy, data, source=Reference.parse)


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
    """With these, the work is a release and no package, or signs what exists: all of them, or none."""
    tree: str = ""
    """The hash of what its images are built from; "" for a release."""
    adopted: tuple[str, ...] = ()
    """Digests of existing images that count without an attestation, because the maintainer says so."""

    def to_json(self) -> dict[str, Any]:
        """The work as Redis stores it."""
        return to_wire(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> PackageWork:
        """The inverse of `to_json`."""
        return from_wire(
            PackageWork,
            data,
            reference=Reference.parse,
            jobs=each(Job.from_json),
            existing=each(ArchImage.from_json),
            copies=each(Copy.from_json),
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
    priority: RunPriority = RunPriority.NORMAL
    ranks: Mapping[str, float] = field(default_factory=dict)
    """Package to the seconds from its start to the end of all that depends on it; 0 for one that is missing.

    Of its packages that are ready, the run's jobs of the one with the highest are sent first.
    """

    @property
    def queues(self) -> set[str]:
        """The architectures of all its builds, and "publish"."""
        return {job.arch for work in self.works for job in work.jobs} | {"publish"}
