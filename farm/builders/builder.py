"""What a builder is: anything that makes an architecture's image of a context, for its registry."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.builders.build_spec import BuildSpec
    from farm.model import Reference


class Builder(Protocol):
    """One way to build; whatever ends a call, nothing of it runs on afterwards."""

    def build(
        self,
        spec: BuildSpec,
        context: IO[bytes],
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
    ) -> str:
        """Build one image, under the tags of its spec; returns what `holds` knows it by.

        Args:
            spec: what to build.
            context: a plain tar in a file, seekable; read from its start, a piece at a time.
            log: takes the build's log line by line.
            cancelled: asked a few times a second whether to give up.
            timeout: seconds that the whole build may take.

        Raises:
            BuildFailedError: a step failed, the Dockerfile is wrong, or the time is up.
            DiskFullError: the disk on which it is built is full.
            EngineUnavailableError: what builds cannot be reached, or went away.
            RegistryError: a registry cannot be reached or refuses; here or in `push`.
            CancelledError: the build was cancelled.
            ContextError: the context cannot be read.
        """

    def holds(self, reference: Reference, image: str) -> bool:
        """Whether a tag still names what an earlier `build` returned, so that `push` will do.

        Raises:
            EngineUnavailableError: the engine went away.
        """

    def push(
        self,
        reference: Reference,
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
        silence: float,
    ) -> None:
        """Return once the registry holds what was built under a tag; a builder may have pushed already.

        Args:
            reference: the tag.
            log: takes a line for each layer.
            cancelled: asked a few times a second whether to give up.
            timeout: seconds that the whole push may take.
            silence: seconds in which it must get further.

        Raises:
            RegistryDeniedError: the registry refuses the login, or the login may not push there.
            RegistryUnavailableError: the registry cannot be reached, or cannot answer now.
            RegistryError: it refuses the image.
            EngineUnavailableError: the engine went away.
            CancelledError: the push was cancelled.
        """

    def forget(self, reference: Reference, arch: str) -> None:
        """Take a tag out of where it was built; the build cache keeps the layers. None there is no error.

        Raises:
            EngineUnavailableError: the engine went away.
        """
