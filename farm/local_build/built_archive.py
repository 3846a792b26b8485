"""An image is built on this machine, and comes as an archive: from the engine, or from buildx."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from farm.builders import buildx_builder, engine_build
from farm.builders.buildx_command import archived, loaded
from farm.builders.buildx_directory import workplace
from farm.builders.buildx_plugin import Plugin
from farm.builders.choice import check_builder, check_store, checked_plugin, uses_buildx
from farm.errors import BuildFailedError, InputError, RegistryUnavailableError
from farm.local_build.local_engine import plain
from farm.registry.published_images import read_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.builders.build_spec import BuildSpec
    from farm.cache.layout import Cache
    from farm.local_build.local_engine import LocalEngine
    from farm.model import ArchImage, Reference
    from farm.registry.client import Registry
    from farm.settings import Settings

    Bases = Mapping[Reference, ArchImage]
    """What a package is built FROM, out of the cache."""
    Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Archives:
    """Builds as the settings say: by the engine, or by buildx where they ask for what only that can do."""

    settings: Settings
    local: LocalEngine
    cache: Cache
    registry: Registry

    def check(self, arch: str) -> None:
        """Make sure that what builds for an architecture is there, with all that its builds are promised.

        Nothing is changed by that. This machine's engine need not be there where another builder is named.

        Raises:
            SettingsError: `builder: engine` stands beside settings that it cannot honour.
            InputError: buildx, a builder, a secret or a key is not there, or cannot do what is asked of it.
            EngineError: the engine is for others.
            EngineUnavailableError: the engine or a builder does not answer.
        """
        if uses_buildx(self.settings):
            plugin = checked_plugin(self.settings)
            if self._is_elsewhere(arch):
                check_builder(self.settings, plugin, buildx_builder.builder_for(self.settings, arch), arch)
                return
            check_store(self.settings, self.local.info)
        self.local.check(arch)

    @contextmanager
    def build(self, spec: BuildSpec, context: IO[bytes], bases: Bases, log: Log) -> Iterator[IO[bytes]]:
        """Build, and give the image as an archive, attestations and all; where it was built none stays.

        Args:
            spec: what to build.
            context: a plain tar in a file.
            bases: what it is built FROM, whether a registry has it or not.
            log: takes the build's log line by line.

        Raises:
            FarmError: as a `Builder`.
        """
        way = self._by_engine
        if uses_buildx(self.settings):
            # An engine with its old image store writes no archives, and reads no cache.
            able = self._is_elsewhere(spec.arch) or self.local.info.containerd
            way = self._by_archive if able else self._by_loading
        with way(spec, context, bases, log) as archive:
            yield archive

    def _is_elsewhere(self, arch: str) -> bool:
        return buildx_builder.builder_for(self.settings, arch) != buildx_builder.DEFAULT

    @contextmanager
    def _by_engine(self, spec: BuildSpec, context: IO[bytes], bases: Bases, log: Log) -> Iterator[IO[bytes]]:
        if self.local.info.containerd:
            self._refuse_others(bases)
        with self.local.lent(bases), self.local.scratch() as name:
            engine_build.build(
                self.local.prompt,
                replace(spec, tags=(str(name),), pull=not bases),
                context,
                log=log,
                cancelled=_never,
                timeout=self.settings.build_timeout,
                credentials=self.registry.credentials.login_for,
            )
            with self.local.saved(name) as archive:
                yield archive

    def _refuse_others(self, bases: Bases) -> None:
        # With containerd's store it takes what it was lent only where the registry has nothing of that name.
        for name, image in bases.items():
            try:
                index, _ = read_index(self.registry, name)
            except RegistryUnavailableError:
                continue  # nor does the engine reach it
            if index and plain(image).digest not in {one.digest for one in index.manifests}:
                raise BuildFailedError(
                    f"it is built FROM {name.familiar}, and the engine would take the registry's, "
                    "which is not the cache's",
                    hint="`farm cache pull` brings the registry's; builder: buildx builds from the cache",
                )

    @contextmanager
    def _by_loading(self, spec: BuildSpec, context: IO[bytes], bases: Bases, log: Log) -> Iterator[IO[bytes]]:
        with self.local.lent(bases), self.local.scratch() as name:
            self._run(replace(spec, pull=not bases), loaded(name), context, log)
            with self.local.saved(name) as archive:
                yield archive

    @contextmanager
    def _by_archive(self, spec: BuildSpec, context: IO[bytes], bases: Bases, log: Log) -> Iterator[IO[bytes]]:
        # The builder reads the cache over the same session as the context, wherever it is.
        layouts = tuple((str(name), self._layout(image)) for name, image in bases.items())
        with workplace(self.settings) as place:
            file = place / "image.tar"
            self._run(replace(spec, layouts=layouts), archived(file), context, log)
            with file.open("rb") as archive:
                yield archive

    def _layout(self, image: ArchImage) -> str:
        root = str(self.cache.root.absolute())
        if ":" in root or "@" in root:
            raise InputError(
                f"buildx cannot build FROM the cache {root}: it takes : and @ for marks of its own",
                hint="--cache names another directory",
            )
        return f"oci-layout://{root}@{plain(image).digest}"

    def _run(self, spec: BuildSpec, output: str, context: IO[bytes], log: Log) -> None:
        plugin = Plugin.find(self.settings.docker_config, timeout=self.settings.http_timeout)
        limit = self.settings.build_timeout
        buildx_builder.build(
            plugin, self.settings, spec, output, context, log=log, cancelled=_never, timeout=limit
        )


def _never() -> bool:
    """Whether to give up: who waits here presses Ctrl-C."""
    return False
