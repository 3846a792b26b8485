"""The builder that needs no client programs: BuildKit inside the Docker Engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from farm.builders.engine_build import build
from farm.builders.engine_push import forget, is_image, push

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.builders.build_spec import BuildSpec
    from farm.builders.docker_engine import Engine
    from farm.model import Reference
    from farm.registry.credentials import Login


@dataclass(frozen=True, slots=True)
class EngineBuilder:
    """A `Builder` that leaves the image in the engine, from where the engine pushes it."""

    engine: Engine
    login_for: Callable[[str], Login | None]
    """The login for a registry host; None for none."""

    def build(
        self,
        spec: BuildSpec,
        context: IO[bytes],
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
    ) -> str:
        """As `Builder` has it."""
        return build(
            self.engine,
            spec,
            context,
            log=log,
            cancelled=cancelled,
            timeout=timeout,
            credentials=self.login_for,
        )

    def holds(self, reference: Reference, image: str) -> bool:
        """As `Builder` has it."""
        return is_image(self.engine, str(reference), image)

    def push(
        self,
        reference: Reference,
        *,
        log: Callable[[str], None],
        cancelled: Callable[[], bool],
        timeout: float,
        silence: float,
    ) -> None:
        """As `Builder` has it."""
        login = self.login_for(reference.registry)
        push(self.engine, reference, login, log=log, cancelled=cancelled, timeout=timeout, silence=silence)

    def forget(self, reference: Reference, arch: str) -> None:  # noqa: ARG002 - one engine has them all
        """As `Builder` has it."""
        forget(self.engine, reference)
