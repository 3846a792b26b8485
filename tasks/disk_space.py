"""Room on the engine's disk: made before a build, and once more when a build has filled it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.builders.engine_push import forget
from farm.builders.pruning import free_space, tidy
from farm.errors import DiskFullError, DiskTooSmallError
from farm.model import Reference
from farm.state.engine_images import left_images, note_image, strike_images
from farm.syntax.sizes import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.builders.docker_engine import Engine, EngineInfo
    from farm.settings import Settings
    from tasks.worker_context import WorkerContext

log = logging.getLogger(__name__)


def disk_trouble(settings: Settings, root: str) -> str:
    """What is wrong with the disk of the engine's data, "" for nothing or where it cannot be seen."""
    free = free_space(settings.engine, root) if root else None
    if free is None or free >= settings.disk_free:
        return ""
    return f"disk full: {root} has {format_bytes(free)} free, of {format_bytes(settings.disk_free)} wanted"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk of the engine on which an image is built."""

    site: WorkerContext
    engine: Engine
    info: EngineInfo

    @contextmanager
    def taken(self, target: Reference) -> Iterator[None]:
        """Make room for an image, and note it until the body has pushed it and taken it out of the engine.

        Raises:
            DiskFullError: there is too little, even after a clean-up.
        """
        self.make()
        note_image(self.site.store, self.info.id, str(target))
        yield
        strike_images(self.site.store, self.info.id, [str(target)])

    def make(self) -> None:
        """Take out what dead builds left, prune the cache now and then, and look whether there is room.

        Raises:
            DiskFullError: there is too little, even with the whole cache gone.
        """
        settings = self.site.settings
        self._drop_left()
        if self.site.tidy_due():
            tidy(self.engine, keep=settings.cache_keep, age=settings.cache_age)
        if not disk_trouble(settings, self.info.root):
            return
        self.clean()
        if trouble := disk_trouble(settings, self.info.root):
            raise DiskFullError(trouble, hint="free some, or set disk-free lower")

    def clean(self) -> None:
        """Take out all that can be built again: what dead builds left, and the whole cache."""
        self._drop_left()
        came_free = tidy(self.engine, keep=0)
        log.warning("the engine's disk was full; pruning its cache set %s free", format_bytes(came_free))

    def filled(self, build: Callable[[], None], target: Reference, *, say: Callable[[str], None]) -> None:
        """Build; when that fills the disk, clean up, `say` so, and build once more.

        Raises:
            DiskTooSmallError: it filled the disk again.
        """
        try:
            build()
        except DiskFullError as full:
            forget(self.engine, target)
            say(f"{full.message}; it is cleaned up, and the build begins anew")
            self.clean()
            try:
                build()
            except DiskFullError as error:
                raise DiskTooSmallError(
                    "the build filled the disk of the Docker Engine again after a clean-up",
                    hint="it needs a larger disk",
                ) from error

    def _drop_left(self) -> None:
        left = left_images(self.site.store, self.info.id)
        for name in left:
            forget(self.engine, Reference.parse(name))
        strike_images(self.site.store, self.info.id, left)
