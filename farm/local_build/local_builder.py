"""Packages made on this machine alone: from the LinuxKit cache, else the registry, else built here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Self

from farm.builders.build_arguments import PROXIES, build_args, labels, proxy_args
from farm.builders.build_spec import BuildSpec
from farm.builders.depends_images import completed
from farm.cache import archive_import
from farm.cache.content import is_complete
from farm.cache.named_images import add_images, find_image, index_of
from farm.cache.transfer import pull_images
from farm.errors import BuildFailedError, FarmError
from farm.local_build.built_archive import Archives
from farm.local_build.local_engine import LocalEngine
from farm.local_build.options import LocalImage, Origin, native_arch
from farm.model import ArchImage
from farm.package.context import pack
from farm.package.dirty_context import pack_working
from farm.package.git_objects import commit_time
from farm.registry.index import members_of
from farm.settings import environment
from farm.system.files import spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from farm.cache.layout import Cache
    from farm.local_build.options import BuildOptions
    from farm.model import Package, Reference
    from farm.registry.client import Registry
    from farm.settings import Settings


class LocalBuilder:
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
        self._local = LocalEngine(settings, cache)
        self._archives = Archives(settings, self._local, cache, registry)
        self._checked: set[str] = set()
        """Architectures for which what builds is there."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._local.__exit__(*_)

    def make_all(
        self, packages: Sequence[Package], needs: Mapping[str, Sequence[str]], wish: BuildOptions
    ) -> Iterator[LocalImage]:
        """Make packages, each after those that it needs; one that fails stops only what is built FROM it.

        Args:
            packages: in an order in which each comes after those that it needs.
            needs: package name to the packages among these that it is built FROM.
            wish: what is asked for beyond them.
        """
        done: dict[str, LocalImage] = {}
        for package in packages:
            bases = [done[name] for name in needs.get(package.image, ())]
            done[package.image] = self._make(package, bases, wish)
            yield done[package.image]

    def _make(self, package: Package, bases: Sequence[LocalImage], wish: BuildOptions) -> LocalImage:
        images: list[tuple[ArchImage, Origin]] = []
        name = package.reference.familiar
        for line in wish.left_out(package, self._settings.arches):
            self._say(line)
        for arch in wish.arches_of(package, self._settings.arches):
            try:
                image, origin = self._one(package, arch, bases, wish)
                if wish.docker:
                    self._give(package.reference, image)
            except FarmError as error:
                self._say(f"{name} {arch}: failed: {error}")
                return LocalImage(package, tuple(images), error)
            images.append((image, origin))
            self._say(f"{name} {arch}: {origin}{', in the engine' if wish.docker else ''}")
        return LocalImage(package, tuple(images))

    def _one(
        self, package: Package, arch: str, bases: Sequence[LocalImage], wish: BuildOptions
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
        for base in bases:
            if base.error:
                raise BuildFailedError(f"it is built FROM {base.package.image}, which failed")
        if arch not in self._checked:
            self._archives.check(arch)
            self._checked.add(arch)
        self._say(f"{package.reference.familiar} {arch}: building")
        return self._build(package, arch, [base.package.reference for base in bases]), Origin.BUILT

    def _build(self, package: Package, arch: str, bases: Sequence[Reference]) -> ArchImage:
        def log(line: str) -> None:
            self._log(f"{package.image} {arch} | {line}")

        found = {base: image for base in bases if (image := find_image(self._cache, base, arch))}
        spec = self._spec(package, arch)
        with (
            self._context(package, arch, log) as context,
            self._archives.build(spec, context, found, log) as built,
        ):
            return self._store(package.reference, arch, built)

    @contextmanager
    def _context(self, package: Package, arch: str, log: Callable[[str], None]) -> Iterator[IO[bytes]]:
        """The build context, with the images that it depends on."""
        with spool() as context:
            committed = package.commit and not package.dirty
            pack(package, context) if committed else pack_working(package, context)
            context.seek(0)
            if not (depends := package.yml.depends):
                yield context
                return
            with completed(
                context,
                depends,
                arch,
                engine=self._local.patient,
                registry=self._registry,
                log=log,
            ) as full:
                yield full

    def _spec(self, package: Package, arch: str) -> BuildSpec:
        given = build_args(package, self._settings.build_args, commit_time(package))
        return BuildSpec(
            arch=arch,
            tags=(str(package.reference.for_arch(arch)),),
            dockerfile=package.yml.dockerfile,
            network=package.yml.network,
            no_cache=package.yml.disable_cache,
            labels=labels(package),
            build_args=tuple((dict(proxy_args(environment(PROXIES))) | dict(given)).items()),
        )

    def _store(self, reference: Reference, arch: str, built: IO[bytes]) -> ArchImage:
        """Bring a built image into the cache, and name it there.

        Raises:
            BuildFailedError: it is for another architecture.
        """
        (loaded,) = archive_import.load(self._cache.blobs, built)
        whole = [
            one
            for one in members_of(index_of(self._cache.blobs, loaded.root), arch)
            if is_complete(self._cache.blobs, one)
        ]
        if not whole:
            raise BuildFailedError(
                f"what was built is not for {arch}", hint="see what its Dockerfile builds on"
            )
        image = ArchImage(arch, reference.for_arch(arch), tuple(whole))
        add_images(self._cache, reference, [image])
        return image

    def _give(self, reference: Reference, image: ArchImage) -> None:
        """Load an image of the cache into the engine, under the names that LinuxKit gives it there."""
        names = [image.reference, *([reference] if image.arch == native_arch() else [])]
        self._local.load(image, names)
