"""Free space on the engine's disk: made before a build, and again when a build has filled the disk."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.builders.engine_images import remove_image
from farm.builders.noted_images import forget_image, note_image, noted_images
from farm.builders.pruning import free_space, prune
from farm.errors import DiskFullError, DiskTooSmallError, EngineError, EngineUnavailableError
from farm.state import leases
from farm.syntax.quantities import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.builders.docker_engine import Engine
    from farm.model import Reference
    from farm.settings import Settings
    from tasks.worker_context import WorkerContext

log = logging.getLogger(__name__)


def disk_trouble(settings: Settings, root: str) -> str:
    """What is wrong with the disk of the engine's data; "" for nothing, or if it is not visible here."""
    free = free_space(settings, root) if root else None
    if free is None or free >= settings.disk_free:
        return ""
    return f"disk full: {root} has {format_bytes(free)} free, {format_bytes(settings.disk_free)} required"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk of the engine on which an image is built."""

    context: WorkerContext
    engine: Engine
    root: str
    """The directory of the engine's data."""

    @contextmanager
    def reserved(self, target: Reference, *, built: bool) -> Iterator[None]:
        """Make room for an image, and note it until the body has pushed it and removed it from the engine.

        After an error the note stays, so that the next build removes the image. If this job has not `built`
        it before, an image of that name is of a build that died, and would lose its name to the new one.
        """
        self.make_room()
        if not built:
            remove_image(self.engine, target)
        note_image(self.engine, target)
        yield
        forget_image(self.engine, target)

    def make_room(self) -> None:
        """Remove the images of dead builds, prune the cache if that is due, and check the free space."""
        settings = self.context.settings
        self._remove_leftovers()
        if self.context.pruning_due():
            self._prune_regularly()
        if not disk_trouble(settings, self.root):
            return
        self.clean_up()
        if trouble := disk_trouble(settings, self.root):
            raise DiskFullError(trouble, hint="free some space, or set disk-free lower")

    def clean_up(self) -> None:
        """Remove everything that can be built again: the images of dead builds, and the whole cache."""
        self._remove_leftovers()
        try:
            freed = prune(self.engine, keep=0)
        except EngineUnavailableError:
            raise
        except EngineError as error:
            raise DiskFullError(
                f"the engine's disk is full, and its cache cannot be pruned: {error}",
                hint="free space there: docker builder prune",
            ) from error
        log.warning("the engine's disk was full; pruning its cache freed %s", format_bytes(freed))

    def build_with_room(
        self, build: Callable[[], None], target: Reference, *, report: Callable[[str], None]
    ) -> None:
        """Build; if that fills the disk, clean up, `report` it, and build again."""
        try:
            build()
        except DiskFullError as full:
            remove_image(self.engine, target)
            report(f"{full.message}; cleaning up, then building again")
            self.clean_up()
            try:
                build()
            except DiskFullError as error:
                raise DiskTooSmallError(
                    "the build filled the disk of the Docker Engine again after a clean-up",
                    hint="use a larger disk",
                ) from error

    def _prune_regularly(self) -> None:
        settings = self.context.settings
        try:
            prune(self.engine, keep=settings.cache_keep, age=settings.cache_age)
        except EngineUnavailableError:
            raise
        except EngineError as error:
            # There may be space for a long time.
            log.warning("the cache of the engine is not pruned, and grows: %s", error)

    def _remove_leftovers(self) -> None:
        noted = noted_images(self.engine)
        held = leases.held(self.context.store, map(str, noted))
        for reference in noted:
            if str(reference) not in held:
                remove_image(self.engine, reference)
                forget_image(self.engine, reference)
