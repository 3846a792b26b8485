"""Build an image on this machine, or with a remote builder, and return it as an archive."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, TYPE_CHECKING

from farm.builders.builder import Control
from farm.builders.buildx_builder import run_buildx
from farm.builders.buildx_command import to_engine, to_file
from farm.builders.buildx_plugin import DEFAULT_BUILDER, builder_for, config_directory
from farm.builders.choice import check_builders, checked_plugin, uses_buildx
from farm.builders.engine_builder import EngineBuilder
from farm.builders.engine_images import save_image
from farm.errors import BuildFailedError, InputError, RegistryError
from farm.local_build.local_engine import without_attestations
from farm.registry.index import Index
from farm.registry.oci import INDEXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.builders.builder import BuildSpec
    from farm.builders.buildx_plugin import Plugin
    from farm.cache.layout import Cache
    from farm.local_build.local_engine import LocalEngine
    from farm.model import ArchImage, Reference
    from farm.registry.client import Registry
    from farm.settings import Settings

    Bases = Mapping[Reference, ArchImage]
    """Base images from the cache, published or not."""
    Log = Callable[[str], None]


@dataclass(frozen=True)
class ArchiveBuilder:
    """Builds with the engine or, where the settings need it, with buildx."""

    settings: Settings
    local: LocalEngine
    cache: Cache
    registry: Registry

    @cached_property
    def _plugin(self) -> Plugin:
        return checked_plugin(self.settings)

    def check(self, arch: str) -> None:
        """Raise unless the builder of an architecture is available, with all that its builds need."""
        plugin = self._plugin if uses_buildx(self.settings) else None
        # This machine's engine is not needed where the settings name another builder.
        if not check_builders(self.settings, lambda: self.local.info, [arch], plugin):
            self.local.check(arch)

    @contextmanager
    def build(self, spec: BuildSpec, context: IO[bytes], bases: Bases, log: Log) -> Iterator[IO[bytes]]:
        """Build, and yield the image as an archive, attestations included; the builder does not keep it."""
        # An engine with the old image store can neither write OCI archives nor read the cache.
        writes_archives = uses_buildx(self.settings) and (
            self._is_remote(spec.arch) or self.local.info.containerd
        )
        method = self._through_buildx if writes_archives else self._through_engine
        with method(spec, context, bases, Control(log, self.settings.build_timeout)) as archive:
            yield archive

    def _is_remote(self, arch: str) -> bool:
        return builder_for(self.settings, arch) != DEFAULT_BUILDER

    @contextmanager
    def _through_engine(
        self, spec: BuildSpec, context: IO[bytes], bases: Bases, control: Control
    ) -> Iterator[IO[bytes]]:
        loaded = self._unpublished(bases)
        with self.local.loaded_meanwhile(loaded), self.local.temporary_name() as name:
            spec = replace(spec, pull=not loaded)
            if uses_buildx(self.settings):
                self._run_buildx(spec, to_engine(name), context, control)
            else:
                builder = EngineBuilder(self.local.engine, self.registry.credentials.login_for)
                builder.build(replace(spec, tags=(str(name),)), context, control)
            with save_image(self.local.transfer_engine, str(name)) as archive:
                yield archive

    def _unpublished(self, bases: Bases) -> Bases:
        """The base images that the engine would not get from their registry."""
        loaded = {}
        for name, image in bases.items():
            published = self._published(name)
            if without_attestations(image).digest in published:
                continue
            # With containerd's image store the engine prefers the registry's image to one that is loaded.
            if published and self.local.info.containerd:
                raise BuildFailedError(
                    f"base image {name.familiar} differs between the cache and the registry, and the engine "
                    "would use the registry's",
                    hint="`farm cache pull` gets the registry's; builder: buildx builds from the cache",
                )
            loaded[name] = image
        return loaded

    def _published(self, name: Reference) -> set[str]:
        """The digests of the images under a name; none if the registry fails, which the engine asks too."""
        try:
            manifest = self.registry.manifest(name)
        except RegistryError:
            return set()
        if not manifest or manifest.descriptor.media_type not in INDEXES:
            return {manifest.descriptor.digest} if manifest else set()
        return {member.digest for member in Index.parse(manifest.body).manifests}

    @contextmanager
    def _through_buildx(
        self, spec: BuildSpec, context: IO[bytes], bases: Bases, control: Control
    ) -> Iterator[IO[bytes]]:
        # A remote builder, too, reads the cache: over the session that serves the context.
        layouts = tuple((str(name), self._layout(image)) for name, image in bases.items())
        with config_directory(self.settings) as directory:
            file = directory / "image.tar"
            self._run_buildx(replace(spec, layouts=layouts), to_file(spec, file), context, control)
            with file.open("rb") as archive:
                yield archive

    def _layout(self, image: ArchImage) -> str:
        root = str(self.cache.root.absolute())
        if ":" in root or "@" in root:
            raise InputError(
                f"buildx cannot read the cache {root}: the path contains : or @",
                hint="choose another directory with --cache",
            )
        return f"oci-layout://{root}@{without_attestations(image).digest}"

    def _run_buildx(self, spec: BuildSpec, output: str, context: IO[bytes], control: Control) -> None:
        run_buildx(self._plugin, self.settings, spec, output, context, control)
