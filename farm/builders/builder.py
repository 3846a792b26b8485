"""The protocol of a builder: it turns a build context into an image, and pushes that to its registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.builders.build_spec import BuildSpec
    from farm.model import Reference


def never() -> bool:
    """Return False: for work that only Ctrl-C cancels."""
    return False


@dataclass(frozen=True, slots=True)
class Control:
    """How a caller follows and stops one build or push."""

    log: Callable[[str], None]
    """Receives the log, line by line."""
    timeout: float
    """Seconds that the whole call may take."""
    cancelled: Callable[[], bool] = never
    """Called a few times a second; True stops the call."""


class Builder(Protocol):
    """One way to build. However a call ends, nothing that it started runs on afterwards."""

    def build(self, spec: BuildSpec, context: IO[bytes], control: Control) -> str:
        """Build one image under the tags of its spec; return its identity for `has_image`.

        Args:
            spec: what to build.
            context: an uncompressed tar in a file, seekable; read from its start, in chunks.
            control: how to follow and stop the build.

        Raises:
            BuildFailedError: a step failed, the Dockerfile is wrong, or the build took too long.
            DiskFullError: the disk of the builder is full.
            EngineUnavailableError: the engine or builder cannot be reached, or was lost during the build.
            RegistryError: a registry cannot be reached or refuses; here or in `push`.
            CancelledError: the build was cancelled.
            ContextError: the context cannot be read.
        """

    def has_image(self, reference: Reference, image: str) -> bool:
        """Whether a tag still names the image that an earlier `build` returned, so that `push` suffices.

        Raises:
            EngineUnavailableError: the engine cannot be reached.
        """

    def push(self, reference: Reference, control: Control, *, silence: float) -> None:
        """Return once the registry has the image that was built under a tag; `build` may have pushed it.

        Args:
            reference: the tag.
            control: how to follow and stop the push.
            silence: seconds that the push may make no progress.

        Raises:
            RegistryDeniedError: the registry refuses the login, or the login may not push there.
            RegistryUnavailableError: the registry cannot be reached, cannot answer now, or makes no progress.
            RegistryError: the registry refuses the image.
            EngineUnavailableError: the engine cannot be reached, or was lost during the push.
            CancelledError: the push was cancelled.
        """

    def remove_image(self, reference: Reference, arch: str) -> None:
        """Remove a tag from where it was built, if it is there; the build cache keeps the layers.

        Raises:
            EngineUnavailableError: the engine cannot be reached.
        """
