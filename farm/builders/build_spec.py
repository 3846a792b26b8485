"""The specification of one build, without secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.builders.build_arguments import Pairs
    from farm.model import Job


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """One image for one architecture."""

    arch: str
    """LinuxKit's name of it, such as amd64."""
    tags: tuple[str, ...] = ()
    """The names of the image in the engine."""
    dockerfile: str = "Dockerfile"
    target: str | None = None
    """The stage to build; None for the last one."""
    network: bool = False
    """Whether RUN steps have a network."""
    no_cache: bool = False
    pull: bool = True
    """Whether base images come from the registry even if the engine has an image of that name."""
    labels: Pairs = ()
    build_args: Pairs = ()
    layouts: Pairs = ()
    """Base images outside registries: name and oci-layout://DIRECTORY@DIGEST; only buildx takes them."""

    @staticmethod
    def of(job: Job, *, proxies: Pairs = ()) -> BuildSpec:
        """The build of a job; the job's build arguments override the worker's proxies."""
        return BuildSpec(
            arch=job.arch,
            tags=(str(job.reference.for_arch(job.arch)),),
            dockerfile=job.dockerfile,
            network=job.network,
            no_cache=job.no_cache,
            labels=job.labels,
            build_args=tuple((dict(proxies) | dict(job.build_args)).items()),
        )

    @property
    def platform(self) -> str:
        """The OCI platform, such as linux/arm64."""
        return f"linux/{self.arch}"

    def query(self) -> list[tuple[str, str]]:
        """The query parameters of POST /build that say what to build.

        https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImageBuild/
        """
        optional = {
            "target": self.target,
            "networkmode": None if self.network else "none",
            "nocache": "1" if self.no_cache else None,
            "pull": "1" if self.pull else None,
        }
        return [
            ("version", "2"),  # BuildKit; 1 is the classic builder
            ("rm", "1"),
            ("platform", self.platform),
            ("dockerfile", self.dockerfile),
            ("labels", json.dumps(dict(self.labels))),
            ("buildargs", json.dumps(dict(self.build_args))),
            *(("t", tag) for tag in self.tags),
            *((name, value) for name, value in optional.items() if value),
        ]
