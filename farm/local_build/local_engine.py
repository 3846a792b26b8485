"""This machine's Docker Engine: load images of the LinuxKit cache, build from them, save images."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from farm.builders import engine_images
from farm.builders.docker_engine import Engine
from farm.cache.archive_export import archive
from farm.cache.layout import locked
from farm.local_build.options import refuse_foreign
from farm.model import Reference
from farm.registry.index import is_attestation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.builders.docker_engine import EngineInfo
    from farm.cache.layout import Cache
    from farm.model import ArchImage, Descriptor
    from farm.settings import Settings

_TEMPORARY = Reference("localhost", "farm/build")
"""The repository of images in the engine between the end of a build and their import into the cache."""
_DAY = 86400.0


class LocalEngine:
    """The engine, connected on first use; close it."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        self._settings, self._cache = settings, cache
        self._open = ExitStack()

    def close(self) -> None:
        """Close the connections."""
        self._open.close()

    @cached_property
    def engine(self) -> Engine:
        """A client for short requests."""
        engine = self._connect(self._settings.http_timeout)
        # A killed process leaves its image: one that is older than any build can be is nobody's.
        oldest = time.time() - self._settings.build_timeout - _DAY
        for name in engine_images.names_in(engine, _TEMPORARY):
            created = (name.tag or "").partition("-")[0]
            if created.isdecimal() and int(created) < oldest:
                engine_images.remove_image(engine, name)
        return engine

    @cached_property
    def transfer_engine(self) -> Engine:
        """A client for saving, loading and pulling images, which takes long for a large image."""
        return self._connect(self._settings.build_timeout)

    @cached_property
    def info(self) -> EngineInfo:
        """The engine's description of itself."""
        return self.engine.info()

    def _connect(self, timeout: float) -> Engine:
        engine = Engine.connect(self._settings.engine, certs=self._settings.engine_certs, timeout=timeout)
        return self._open.enter_context(engine)

    def check(self, arch: str) -> None:
        """Refuse an architecture that the engine neither has nor emulates."""
        own = self.info.architecture
        if arch != own:
            refuse_foreign(arch, (own, *self.engine.emulated()))

    @contextmanager
    def temporary_name(self) -> Iterator[Reference]:
        """A unique name for a build's image, which is removed from the engine at the end."""
        name = _TEMPORARY.with_tag(f"{time.time():.0f}-{secrets.token_hex(8)}")
        try:
            yield name
        finally:
            engine_images.remove_image(self.engine, name)

    def load(self, image: ArchImage, names: Sequence[Reference]) -> None:
        """Load an image of the cache into the engine, under these names."""
        engine_images.load_images(
            self.transfer_engine, archive(self._cache.blobs, without_attestations(image), names)
        )

    @contextmanager
    def loaded_meanwhile(self, images: Mapping[Reference, ArchImage]) -> Iterator[None]:
        """Load images of the cache for the engine to build from, and restore its names at the end.

        An engine has one architecture under a name, so a lock admits one process at a time.
        """
        if not images:
            yield
            return
        with locked(self._cache.root / ".lending", self._settings.build_timeout), ExitStack() as stack:
            for reference, image in images.items():
                if previous := engine_images.image_id(self.engine, reference):
                    stack.callback(engine_images.tag_image, self.engine, previous, reference)
                else:
                    stack.callback(engine_images.remove_image, self.engine, reference)
                self.load(image, [reference])
            yield


def without_attestations(image: ArchImage) -> Descriptor:
    """The manifest of the image itself."""
    (manifest,) = (one for one in image.descriptors if not is_attestation(one))
    return manifest
