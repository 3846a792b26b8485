"""Packages made on this machine alone: from the LinuxKit cache, else the registry, else built here."""

from __future__ import annotations

import platform
import secrets
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

from farm.build.arguments import PROXIES, build_args, labels, proxy_args
from farm.build.build import build
from farm.build.depends import completed
from farm.build.engine import Engine
from farm.build.exchange import identify, load, names_of, save, tag
from farm.build.push import forget
from farm.build.spec import BuildSpec
from farm.cache import archive
from farm.cache.content import complete
from farm.cache.export import archive as exported
from farm.cache.images import add_images, find_image, index_of
from farm.cache.lock import locked
from farm.cache.transfer import pull_images
from farm.errors import BuildFailedError, EngineError, FarmError
from farm.model import ArchImage, Reference, arch_of_uname
from farm.package.context import pack
from farm.package.objects import commit_time
from farm.package.working import pack_working
from farm.registry.index import is_attestation, members_of
from farm.settings import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from farm.cache.layout import Cache
    from farm.model import Package
    from farm.registry.client import Registry
    from farm.settings import Settings


_SCRATCH = Reference("localhost", "farm/build")
"""What the engine calls an image from the end of its build until it is in the cache."""
_DAY = 86400.0


class Origin(StrEnum):
    """Where an image came from."""

    CACHE = "in the cache"
    REGISTRY = "pulled"
    BUILT = "built"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for beyond the packages."""

    arches: tuple[str, ...]
    """Build these of each package's architectures; none stands for all of them."""
    force: bool = False
    """Build although the image is in the cache or the registry."""
    pull: bool = True
    """Look in the registry for what the cache lacks."""
    docker: bool = False
    """Give it to the engine as well: NAME:TAG-ARCH, and NAME:TAG for this machine's architecture."""


@dataclass(frozen=True, slots=True)
class Made:
    """One package: where the image of each architecture came from, or why there is none."""

    package: Package
    images: tuple[tuple[ArchImage, Origin], ...] = ()
    error: FarmError | None = None

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {
            "package": self.package.image,
            "reference": str(self.package.reference),
            "images": [
                {"arch": image.arch, "digest": image.descriptors[0].digest, "origin": origin.name.lower()}
                for image, origin in self.images
            ],
            "error": self.error.to_json() if self.error else None,
        }


def own_arch() -> str:
    """This machine's architecture, as LinuxKit names it."""
    return arch_of_uname(platform.machine())


def refuse_foreign(arch: str, runs: Sequence[str]) -> None:
    """Refuse an architecture that an engine neither is nor emulates.

    Raises:
        EngineError: it runs others.
    """
    if arch not in runs:
        raise EngineError(
            f"the Docker Engine builds for {', '.join(runs)}, not for {arch}",
            hint="install QEMU's handlers (qemu-user-static, binfmt-support), or push it to a farm",
        )


class Workshop:
    """The cache, the registry and the engine of this machine; use it as a context manager.

    Args:
        settings: engine, time limits, build arguments.
        cache: where images go.
        registry: where they may stand already.
        say: takes a line about each image.
        log: takes the lines of builds.
    """

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        registry: Registry,
        *,
        say: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        self._settings, self._cache, self._registry = settings, cache, registry
        self._say, self._log = say, log
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def _engine(self) -> Engine:
        engine = Engine.connect(self._settings.engine, timeout=self._settings.http_timeout)
        self._open.enter_context(engine)
        # A process that was killed left the name of what it built: older than any build, so nobody's.
        before = time.time() - self._settings.build_timeout - _DAY
        for name in names_of(engine, _SCRATCH):
            begun = (name.tag or "").partition("-")[0]
            if begun.isdecimal() and int(begun) < before:
                forget(engine, name)
        return engine

    @cached_property
    def _patient(self) -> Engine:
        # Saving, loading and pulling take as long as an image is big, and saving says nothing before its end.
        engine = Engine.connect(self._settings.engine, timeout=self._settings.build_timeout)
        return self._open.enter_context(engine)

    def make_all(
        self, packages: Sequence[Package], needs: Mapping[str, Sequence[str]], wish: Wish
    ) -> Iterator[Made]:
        """Make packages, each after those that it needs; one that fails stops only what is built FROM it.

        Args:
            packages: in an order in which each comes after those that it needs.
            needs: package name to the packages among these that it is built FROM.
            wish: what is asked for beyond them.
        """
        done: dict[str, Made] = {}
        for package in packages:
            bases = [done[name] for name in needs.get(package.image, ())]
            done[package.image] = self._make(package, bases, wish)
            yield done[package.image]

    def _make(self, package: Package, bases: Sequence[Made], wish: Wish) -> Made:
        listed = package.yml.arches or self._settings.arches
        images: list[tuple[ArchImage, Origin]] = []
        name = package.reference.familiar
        for arch in wish.arches or listed:
            if arch not in listed:
                self._say(f"{name} {arch}: not one of its architectures, left out")
                continue
            try:
                image, origin = self._one(package, arch, bases, wish)
                if wish.docker:
                    self._give(package.reference, image)
            except FarmError as error:
                self._say(f"{name} {arch}: failed: {error}")
                return Made(package, tuple(images), error)
            images.append((image, origin))
            self._say(f"{name} {arch}: {origin}{', in the engine' if wish.docker else ''}")
        return Made(package, tuple(images))

    def _one(
        self, package: Package, arch: str, bases: Sequence[Made], wish: Wish
    ) -> tuple[ArchImage, Origin]:
        if not wish.force:
            if here := find_image(self._cache, package.reference, arch):
                return here, Origin.CACHE
            # Nobody publishes what has uncommitted changes.
            asked = wish.pull and package.commit and not package.dirty
            if asked and (
                pulled := pull_images(self._cache, self._registry, package.reference, [arch]).get(arch)
            ):
                return pulled, Origin.REGISTRY
        self._say(f"{package.reference.familiar} {arch}: building")
        return self._build(package, arch, bases), Origin.BUILT

    def _build(self, package: Package, arch: str, bases: Sequence[Made]) -> ArchImage:
        for base in bases:
            if base.error:
                raise BuildFailedError(f"it is built FROM {base.package.image}, which failed")
        own = self._engine.info().architecture
        if arch != own:
            refuse_foreign(arch, (own, *self._engine.emulated()))

        def log(line: str) -> None:
            self._log(f"{package.image} {arch} | {line}")

        with ExitStack() as stack:
            context = stack.enter_context(TemporaryFile())
            committed = package.commit and not package.dirty
            pack(package, context) if committed else pack_working(package, context)
            lent = stack.enter_context(self._lent([base.package.reference for base in bases], arch))
            full = stack.enter_context(
                completed(
                    context,
                    package.yml.depends,
                    arch,
                    engine=self._patient,
                    registry=self._registry,
                    log=log,
                )
            )
            name = _SCRATCH.with_tag(f"{time.time():.0f}-{secrets.token_hex(8)}")
            stack.callback(forget, self._engine, name)
            build(
                self._engine,
                self._spec(package, arch, name, pull=not lent),
                full,
                log=log,
                cancelled=lambda: False,
                timeout=self._settings.build_timeout,
                credentials=self._registry.credentials.login_for,
            )
            return self._store(package.reference, arch, name)

    def _spec(self, package: Package, arch: str, name: Reference, *, pull: bool) -> BuildSpec:
        given = build_args(package, self._settings.build_args, commit_time(package))
        return BuildSpec(
            arch=arch,
            tags=(str(name),),
            dockerfile=package.yml.dockerfile,
            network=package.yml.network,
            no_cache=package.yml.disable_cache,
            pull=pull,
            labels=labels(package),
            build_args=tuple((dict(proxy_args(environment(PROXIES))) | dict(given)).items()),
        )

    def _store(self, reference: Reference, arch: str, name: Reference) -> ArchImage:
        """Bring a built image from the engine into the cache, and name it there."""
        with save(self._patient, str(name)) as saved:
            (loaded,) = archive.load(self._cache.blobs, saved)
        whole = [
            one
            for one in members_of(index_of(self._cache.blobs, loaded.root), arch)
            if complete(self._cache.blobs, one)
        ]
        image = ArchImage(arch, reference.for_arch(arch), tuple(whole))
        add_images(self._cache, reference, [image])
        return image

    def _give(self, reference: Reference, image: ArchImage) -> None:
        """Load an image of the cache into the engine, under the names that LinuxKit gives it there."""
        names = [image.reference, *([reference] if image.arch == own_arch() else [])]
        self._load(image, names)

    def _load(self, image: ArchImage, names: Sequence[Reference]) -> None:
        (plain,) = (one for one in image.descriptors if not is_attestation(one))
        load(self._patient, exported(self._cache.blobs, plain, names))

    @contextmanager
    def _lent(self, references: Sequence[Reference], arch: str) -> Iterator[bool]:
        """Let the engine build FROM images of the cache, which no registry need have; then all is as it was.

        Yields whether there are any. An engine keeps one architecture under a name, so one process at a time.
        """
        found = [(one, find_image(self._cache, one, arch)) for one in references]
        images = [(reference, image) for reference, image in found if image]
        if not images:
            yield False
            return
        with locked(self._cache.root / ".lending", self._settings.build_timeout), ExitStack() as stack:
            for reference, image in images:
                before = identify(self._engine, reference)
                stack.callback(self._take_back, reference, before)
                self._load(image, [reference])
            yield True

    def _take_back(self, reference: Reference, before: str | None) -> None:
        tag(self._engine, before, reference) if before else forget(self._engine, reference)
