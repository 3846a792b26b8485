"""The protocol of a builder, which turns a build context into an image and pushes that, and its arguments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from farm.builders.build_arguments import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.builders.build_arguments import Pairs
    from farm.model import Job, Reference
    from farm.registry.client import Registry


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """What to build: one image for one architecture, without secrets."""

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
    def has_epoch(self) -> bool:
        """Whether the times in the image are given."""
        return any(name == EPOCH and value for name, value in self.build_args)

    @property
    def platform(self) -> str:
        """The OCI platform, such as linux/arm64."""
        return f"linux/{self.arch}"

    def query(self, *, containerd: bool = False) -> list[tuple[str, str]]:
        """The query parameters of POST /build that say what to build.

        Only where containerd stores its images can an engine set the times of the files in them.

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
            *([("outputs", self._rewritten())] if containerd and self.has_epoch else []),
            *((name, value) for name, value in optional.items() if value),
        ]

    def _rewritten(self) -> str:
        """The output of a build that sets the times of files; the engine's own kind unpacks the image too."""
        attributes = {"name": ",".join(self.tags), "rewrite-timestamp": "true"}
        return json.dumps([{"Type": "image", "Attrs": attributes}])


@dataclass(frozen=True, slots=True)
class Control:
    """How a caller follows and stops one build or push."""

    log: Callable[[str], None]
    """Receives the log, line by line."""
    timeout: float
    """Seconds that the whole call may take."""
    cancelled: Callable[[], bool] = lambda: False
    """Called a few times a second; True stops the call. By default, only Ctrl-C cancels it."""
    report_base: Callable[[str, str], None] = lambda _name, _digest: None
    """Receives name and digest of each base image, as the builder resolved it; a name may have several.

    The digest is "" where the builder does not say it: of an image without layers, and, if it is older than
    BuildKit 0.9, of one that only COPY --from or RUN --mount names."""


class Builder(Protocol):
    """One way to build. However a call ends, nothing that it started runs on afterwards.

    Every method raises EngineUnavailableError if the engine or builder cannot be reached, or is lost.
    """

    def build(self, spec: BuildSpec, context: IO[bytes], control: Control) -> str:
        """Build one image under the tags of its spec; return its identity for `has_image`.

        The context is an uncompressed tar in a file, seekable; it is read from its start, in chunks.

        Raises:
            BuildFailedError: a step failed, the Dockerfile is wrong, or the build took too long.
            DiskFullError: the disk of the builder is full.
            RegistryError: a registry cannot be reached or refuses; here or in `push`.
            CancelledError: the build was cancelled.
            ContextError: the context cannot be read.
        """

    def has_image(self, reference: Reference, image: str) -> bool:
        """Whether a tag still names the image that an earlier `build` returned.

        Before a push: whether `push` suffices. After it: whether that image was pushed.
        """

    def push(
        self, reference: Reference, control: Control, *, silence: float, registry: Registry | None = None
    ) -> str:
        """Return once the registry has the image that was built under a tag; `build` may have pushed it.

        `silence` is the number of seconds that the push may make no progress. With `registry`, the image has
        no layers of a base image, and the builder may push it with that client. The result is the digest that
        was pushed: of the image, or of its index.

        Raises:
            RegistryDeniedError: the registry refuses the login, or the login may not push there.
            RegistryUnavailableError: the registry cannot be reached, cannot answer now, or makes no progress.
            RegistryError: the registry refuses the image.
            CancelledError: the push was cancelled.
        """

    def remove_image(self, reference: Reference, arch: str) -> None:
        """Remove a tag from where it was built, if it is there; the build cache keeps the layers."""
