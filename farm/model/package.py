"""A package: what build.yml says, what git says, and the name that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.model.reference import Reference


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
