"""What a builder is: anything that makes one architecture's image of a context."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.build.engine import Engine
    from farm.build.spec import BuildSpec
    from farm.registry.credentials import Login


class Builder(Protocol):
    """A function such as `farm.build.build.build`, which says what each argument and error means."""

    def __call__(
        self,
        engine: Engine,
        spec: BuildSpec,
        context: IO[bytes],
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
        credentials: Callable[[str], Login | None],
    ) -> str:
        """Build, and return the image's id."""
