"""The Docker Engine of this machine, as it serves the LinuxKit cache: images are given to it, and lent."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self

from farm.builders.docker_engine import Engine
from farm.builders.engine_images import identify, load, names_of, save, tag
from farm.builders.engine_push import forget
from farm.cache.archive_export import archive as exported
from farm.cache.lock import locked
from farm.local_build.options import refuse_foreign
from farm.model import Reference
from farm.registry.index import is_attestation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO

    from farm.builders.docker_engine import EngineInfo
    from farm.cache.layout import Cache
    from farm.model import ArchImage, Descriptor
    from farm.settings import Settings

_SCRATCH = Reference("localhost", "farm/build")
"""What the engine calls an image from the end of its build until it is in the cache."""
_DAY = 86400.0


class LocalEngine:
    """The engine, connected to when it is first needed; use it as a context manager."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        self._settings, self._cache = settings, cache
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def prompt(self) -> Engine:
        """For what it answers at once."""
        engine = self._connect(self._settings.http_timeout)
        # A process that was killed left the name of what it built: older than any build, so nobody's.
        before = time.time() - self._settings.build_timeout - _DAY
        for name in names_of(engine, _SCRATCH):
            begun = (name.tag or "").partition("-")[0]
            if begun.isdecimal() and int(begun) < before:
                forget(engine, name)
        return engine

    @cached_property
    def patient(self) -> Engine:
        """For saving, loading and pulling, which last as long as an image is big."""
        return self._connect(self._settings.build_timeout)

    @cached_property
    def info(self) -> EngineInfo:
        """What it says of itself."""
        return self.prompt.info()

    def _connect(self, timeout: float) -> Engine:
        engine = Engine.connect(self._settings.engine, certs=self._settings.engine_certs, timeout=timeout)
        return self._open.enter_context(engine)

    def check(self, arch: str) -> None:
        """Refuse an architecture that it neither is nor emulates.

        Raises:
            EngineError: it builds for others.
        """
        own = self.info.architecture
        if arch != own:
            refuse_foreign(arch, (own, *self.prompt.emulated()))

    @contextmanager
    def scratch(self) -> Iterator[Reference]:
        """A name that nobody else uses, for what is built; taken out of the engine again."""
        name = _SCRATCH.with_tag(f"{time.time():.0f}-{secrets.token_hex(8)}")
        try:
            yield name
        finally:
            forget(self.prompt, name)

    @contextmanager
    def saved(self, name: Reference) -> Iterator[IO[bytes]]:
        """An image as an archive, read once."""
        with save(self.patient, str(name)) as archive:
            yield archive

    def load(self, image: ArchImage, names: Sequence[Reference]) -> None:
        """Load an image of the cache into the engine, under these names."""
        load(self.patient, exported(self._cache.blobs, plain(image), names))

    @contextmanager
    def lent(self, images: Mapping[Reference, ArchImage]) -> Iterator[None]:
        """Let the engine build FROM images of the cache, which no registry need have; then all is as it was.

        An engine keeps one architecture under a name, so one process at a time.
        """
        if not images:
            yield
            return
        with locked(self._cache.root / ".lending", self._settings.build_timeout), ExitStack() as stack:
            for reference, image in images.items():
                before = identify(self.prompt, reference)
                stack.callback(self._take_back, reference, before)
                self.load(image, [reference])
            yield

    def _take_back(self, reference: Reference, before: str | None) -> None:
        tag(self.prompt, before, reference) if before else forget(self.prompt, reference)


def plain(image: ArchImage) -> Descriptor:
    """The image itself, without its attestations."""
    (found,) = (one for one in image.descriptors if not is_attestation(one))
    return found
