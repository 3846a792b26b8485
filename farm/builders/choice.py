"""Which builder a machine uses: `engine`, unless its settings need `buildx`. `uses_buildx` alone decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.builders.buildx_builder import BuildxBuilder
from farm.builders.buildx_checks import check_builder, check_image_store, checked_plugin, configured
from farm.builders.buildx_environment import DEFAULT_BUILDER, builder_for
from farm.builders.buildx_plugin import Plugin
from farm.builders.engine_builder import EngineBuilder
from farm.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farm.builders.builder import Builder
    from farm.builders.docker_engine import Engine, EngineInfo
    from farm.registry.credentials import Login
    from farm.settings import Settings

_NEED_BUILDX = (
    "builders",
    "build_secrets",
    "build_ssh",
    "build_cache_from",
    "build_cache_to",
    "sbom",
    "provenance",
)


def buildx_reasons(settings: Settings) -> tuple[str, ...]:
    """The settings that need buildx, as farm.yml spells them."""
    return configured(settings, _NEED_BUILDX)


def uses_buildx(settings: Settings) -> bool:
    """Whether buildx builds on this machine.

    Raises:
        SettingsError: `builder: engine` contradicts settings that need buildx.
    """
    reasons = buildx_reasons(settings)
    if settings.builder == "engine" and reasons:
        raise SettingsError(
            f"builder: engine does not support {', '.join(reasons)}", hint="set builder: buildx, or auto"
        )
    return settings.builder == "buildx" or bool(reasons)


def choose_builder(settings: Settings, engine: Engine, login_for: Callable[[str], Login | None]) -> Builder:
    """Return the builder for a worker with these settings and this engine.

    Raises:
        SettingsError: see `uses_buildx`.
        InputError: buildx is not installed, or too old.
    """
    if not uses_buildx(settings):
        return EngineBuilder(engine, login_for)
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    return BuildxBuilder(plugin, settings, engine)


def describe_builder(settings: Settings) -> str:
    """The builder and the reasons for it, such as "engine" or "buildx 0.13.1 (for sbom)".

    Raises:
        SettingsError: see `uses_buildx`.
        InputError: buildx, or something that it needs on this machine, is missing.
    """
    if not uses_buildx(settings):
        return "engine"
    plugin = checked_plugin(settings)
    reasons = ", ".join(buildx_reasons(settings))
    return f"buildx {plugin.version}{f' (for {reasons})' if reasons else ''}"


def check_builders(settings: Settings, info: EngineInfo, arches: Iterable[str]) -> tuple[str, ...]:
    """Check the builder of each of these architectures; return those that have a builder of their own.

    Raises:
        InputError: a builder does not exist, or does not build for its architecture; or this machine's engine
            cannot make the attestations or caches of the settings.
        EngineUnavailableError: a builder does not answer.
    """
    if not uses_buildx(settings):
        return ()
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    remote = {arch: name for arch in arches if (name := builder_for(settings, arch)) != DEFAULT_BUILDER}
    for arch, name in remote.items():
        check_builder(settings, plugin, name, arch)
    if set(arches) - set(remote):
        check_image_store(settings, info)
    return tuple(remote)
