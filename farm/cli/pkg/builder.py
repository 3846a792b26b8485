"""farm pkg builder: the build cache of this machine's engine, which is the builder of `farm build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.output import say
from farm.cli.pkg.flags import BUILD_FLAGS, BUILDER_FLAGS
from farm.cli.pkg.verbs import pkg_verb
from farm.syntax.quantities import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.builders.build_cache import CacheRecord
    from farm.cli.pkg.verbs import PkgRequest

_PLATFORMS = next(flag for flag in BUILD_FLAGS if flag.name == "platforms")


@pkg_verb(
    "builder", click.Argument(["action"], type=click.Choice(["du", "prune"])), *BUILDER_FLAGS, _PLATFORMS
)
def command(request: PkgRequest, action: str) -> None:
    """List the build cache of this machine's engine (du), or remove what no build uses (prune).

    The engine has one cache for all platforms. Of a builder of buildx: docker buildx du --builder NAME.
    """
    from farm.builders.build_cache import list_cache, prune_cache
    from farm.builders.docker_engine import Engine

    settings = request.settings
    with Engine.connect(
        settings.engine, certs=settings.engine_certs, timeout=settings.build_timeout
    ) as engine:
        if action == "prune":
            say(f"Reclaimed:\t{format_bytes(prune_cache(engine))}")
            return
        for line in _table(list_cache(engine)):
            say(line)


def _table(records: Sequence[CacheRecord]) -> Iterator[str]:
    """The table of `linuxkit pkg builder du`."""
    if records:
        yield f"{'ID':<40}  {'RECLAIMABLE':<11}  {'SIZE':<10}  LAST ACCESSED"
    for one in records:
        used = "" if one.unused is None else f"{format_duration(one.unused)} ago"
        size = f"{format_bytes(one.size)}{'*' if one.shared else ''}"
        yield f"{one.id:<40}  {str(not one.in_use).lower():<11}  {size:<10}  {used}".rstrip()
    yield f"Reclaimable:\t{format_bytes(sum(one.size for one in records if not one.in_use))}"
    yield f"Total:\t{format_bytes(sum(one.size for one in records))}"
