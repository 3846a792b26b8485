"""An image is built on this machine, and comes as an archive: from the engine, or from buildx."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from farm.build.buildx import DEFAULT, BuildxBuilder, builder_for
from farm.build.choose import check_builders, check_sources, choose_builder, uses_buildx
from farm.build.command import archived, loaded
from farm.build.workplace import workplace
from farm.programs import require
from farm.standalone.wish import refuse_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.build.spec import BuildSpec
    from farm.registry.credentials import Login
    from farm.settings import Settings
    from farm.standalone.engine import LocalEngine


@dataclass(frozen=True, slots=True)
class Archives:
    """Builds as the settings say: by the engine, or by buildx where they ask for what only that can do."""

    settings: Settings
    local: LocalEngine
    login_for: Callable[[str], Login | None]

    def check(self, arch: str) -> None:
        """Make sure that what builds for an architecture is there, with all that its builds are promised.

        Raises:
            InputError: buildx, a builder, a secret or a key is not there, or the builder is for others.
            EngineError: the engine is for others.
        """
        info = self.local.prompt.info()
        if uses_buildx(self.settings):
            require("setpriv")
            check_sources(self.settings)
            check_builders(self.settings, info, [arch])
        if not self.is_elsewhere(arch) and arch != info.architecture:
            refuse_foreign(arch, (info.architecture, *self.local.prompt.emulated()))

    def is_elsewhere(self, arch: str) -> bool:
        """Whether another builder than this machine's engine builds for it: it has no images of this one."""
        return uses_buildx(self.settings) and builder_for(self.settings, arch) != DEFAULT

    @contextmanager
    def build(self, spec: BuildSpec, context: IO[bytes], log: Callable[[str], None]) -> Iterator[IO[bytes]]:
        """Build, and give the image as an archive, attestations and all; where it was built none stays.

        Raises:
            FarmError: as a `Builder`.
        """
        builder = choose_builder(self.settings, self.local.prompt, self.login_for)
        files = self.is_elsewhere(spec.arch) or self.local.prompt.info().containerd
        if isinstance(builder, BuildxBuilder) and files:
            with workplace(self.settings) as place:
                file = place / "image.tar"
                self._run(builder, spec, archived(file), context, log)
                with file.open("rb") as archive:
                    yield archive
            return
        with self.local.scratch() as name:
            if isinstance(builder, BuildxBuilder):
                # An engine with its old image store writes no archives.
                self._run(builder, spec, loaded(name), context, log)
            else:
                builder.build(
                    replace(spec, tags=(str(name),)),
                    context,
                    log=log,
                    cancelled=lambda: False,
                    timeout=self.settings.build_timeout,
                )
            with self.local.saved(name) as archive:
                yield archive

    def _run(
        self,
        builder: BuildxBuilder,
        spec: BuildSpec,
        output: str,
        context: IO[bytes],
        log: Callable[[str], None],
    ) -> None:
        limit = self.settings.build_timeout
        builder.run(spec, output, context, log=log, cancelled=lambda: False, timeout=limit)
