"""Get packages into the LinuxKit cache: they are there, or else pulled, or else built on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Self

from farm.builders.build_arguments import PROXIES, build_args, labels, proxy_args
from farm.builders.builder import BuildSpec
from farm.builders.depends_images import with_depends_images
from farm.cache import archive_import
from farm.cache.image_content import is_complete
from farm.cache.named_images import add_images, find_image, index_of
from farm.cache.transfer import pull_images
from farm.errors import BuildFailedError, FarmError, RegistryError
from farm.local_build.archive_builder import ArchiveBuilder
from farm.local_build.local_engine import LocalEngine
from farm.local_build.options import LocalImage, Origin, native_arch
from farm.model import ArchImage
from farm.package.check_files import check_files
from farm.package.git_objects import commit_time, last_change
from farm.package.pack_context import pack_context, pack_dirty
from farm.registry.index import members_of
from farm.settings import environment
from farm.system.files import spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from farm.cache.layout import Cache
    from farm.local_build.archive_builder import Bases
    from farm.local_build.options import BuildOptions
    from farm.model import Package, Reference
    from farm.package.dockerfile import BaseImage
    from farm.registry.client import Registry
    from farm.settings import Settings


class LocalBuilder:
    """Builds packages with this machine's cache and engine; a context manager.

    `report` receives a line about each image, `log` the lines of builds.
    """

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        registry: Registry,
        *,
        report: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        self._settings, self._cache, self._registry = settings, cache, registry
        self._report, self._log = report, log
        self._local = LocalEngine(settings, cache)
        self._archives = ArchiveBuilder(settings, self._local, cache, registry)
        self._checked: set[str] = set()
        """Architectures whose builder was checked, and packages whose files were."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._local.close()

    def build_all(
        self,
        packages: Sequence[Package],
        needs: Mapping[str, Sequence[str]],
        bases: Mapping[str, Sequence[BaseImage]],
        options: BuildOptions,
    ) -> Iterator[LocalImage]:
        """Build packages in order; a failure stops only the dependents of the package that failed.

        Each package comes after its dependencies among these packages, which `needs` names. `bases` are the
        base images of each; those in the cache need not be in a registry.
        """
        done: dict[str, LocalImage] = {}
        for package in packages:
            failed = [name for name in needs.get(package.image, ()) if done[name].error]
            done[package.image] = self._build_package(package, failed, bases[package.image], options)
            yield done[package.image]

    def _build_package(
        self, package: Package, failed: Sequence[str], bases: Sequence[BaseImage], options: BuildOptions
    ) -> LocalImage:
        images: list[tuple[ArchImage, Origin]] = []
        name = package.reference.familiar
        for line in options.unlisted(package, self._settings.arches):
            self._report(line)
        for arch in options.arches_of(package, self._settings.arches):
            try:
                image, origin = self._get_image(package, arch, failed, bases, options)
                if options.docker:
                    names = [package.reference] if arch == native_arch() else []
                    self._local.load(image, [image.reference, *names])
            except FarmError as error:
                self._report(f"{name} {arch}: failed: {error}")
                return LocalImage(package, tuple(images), error)
            images.append((image, origin))
            self._report(f"{name} {arch}: {origin}{', in the engine' if options.docker else ''}")
        return LocalImage(package, tuple(images))

    def _get_image(
        self,
        package: Package,
        arch: str,
        failed: Sequence[str],
        bases: Sequence[BaseImage],
        options: BuildOptions,
    ) -> tuple[ArchImage, Origin]:
        if not options.force:
            if cached := find_image(self._cache, package.reference, arch):
                return cached, Origin.CACHE
            # A dirty package is never published.
            published = options.pull and package.is_clean
            if published and (pulled := self._pull(package, arch)):
                return pulled, Origin.REGISTRY
        if failed:
            raise BuildFailedError(f"its dependency {failed[0]} failed")
        self._check(package, arch)
        self._report(f"{package.reference.familiar} {arch}: building")
        cached_bases = self._in_cache(bases, arch) if options.cached_bases else {}
        return self._build(package, arch, cached_bases), Origin.BUILT

    def _check(self, package: Package, arch: str) -> None:
        """Raise unless the package can be built as it is, and there is a builder for it."""
        if package.image not in self._checked:
            check_files([package])
        if arch not in self._checked:
            self._archives.check(arch)
        self._checked |= {package.image, arch}

    def _pull(self, package: Package, arch: str) -> ArchImage | None:
        """The published image; None also if the registry cannot tell: only time is lost by a build."""
        try:
            return pull_images(self._cache, self._registry, package.reference, [arch]).get(arch)
        except RegistryError as error:
            self._report(f"{package.reference.familiar} {arch}: not pulled, and built instead: {error}")
            return None

    def _in_cache(self, bases: Sequence[BaseImage], arch: str) -> Bases:
        """The base images that the cache has under their tags, as linuxkit looks them up."""
        needed: dict[Reference, set[str]] = {}
        for base in bases:
            if not base.reference.digest:
                needed.setdefault(base.reference.or_latest(), set()).add(base.arch or arch)
        found: dict[Reference, ArchImage] = {}
        for reference, arches in needed.items():
            images = [image for one in sorted(arches) if (image := find_image(self._cache, reference, one))]
            if images and len(arches) > 1:
                raise BuildFailedError(
                    f"base image {reference.familiar} is needed for {' and '.join(sorted(arches))}, "
                    "but a build takes one image for each name from the cache",
                    hint="--ignore-cached takes both from the registry",
                )
            if images:
                found[reference] = images[0]
        return found

    def _build(self, package: Package, arch: str, bases: Bases) -> ArchImage:
        def log(line: str) -> None:
            self._log(f"{package.image} {arch} | {line}")

        spec = self._spec(package, arch)
        with (
            self._context(package, arch, log) as context,
            self._archives.build(spec, context, bases, log) as archive,
        ):
            return self._import(package.reference, arch, archive)

    @contextmanager
    def _context(self, package: Package, arch: str, log: Callable[[str], None]) -> Iterator[IO[bytes]]:
        """The build context, with the images of `depends.docker-images`."""
        with spool() as context:
            pack_context(package, context) if package.is_clean else pack_dirty(package, context)
            context.seek(0)
            if not (depends := package.yml.depends):
                yield context
                return
            engine = self._local.transfer_engine
            with with_depends_images(
                context, depends, arch, engine=engine, registry=self._registry, log=log
            ) as full:
                yield full

    def _spec(self, package: Package, arch: str) -> BuildSpec:
        changed = last_change(package) if package.is_clean and package.commit else None
        own_args = build_args(package, self._settings.build_args, commit_time(package), changed)
        return BuildSpec(
            arch=arch,
            tags=(str(package.reference.for_arch(arch)),),
            dockerfile=package.yml.dockerfile,
            network=package.yml.network,
            no_cache=package.yml.disable_cache,
            labels=labels(package),
            build_args=tuple((dict(proxy_args(environment(PROXIES))) | dict(own_args)).items()),
        )

    def _import(self, reference: Reference, arch: str, archive: IO[bytes]) -> ArchImage:
        """Import a built image into the cache under its architecture tag."""
        (loaded,) = archive_import.load(self._cache.blobs, archive)
        members = [
            one
            for one in members_of(index_of(self._cache.blobs, loaded.root), arch)
            if is_complete(self._cache.blobs, one)
        ]
        if not members:
            raise BuildFailedError(
                f"the built image is not for {arch}", hint="see the base image in its Dockerfile"
            )
        image = ArchImage(arch, reference.for_arch(arch), tuple(members))
        add_images(self._cache, reference, [image])
        return image
