"""Which builder a machine has: the engine's BuildKit, unless its settings ask for what only buildx can do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.build_failures import USE_CONTAINERD
from farm.builders.buildx_builder import DEFAULT, BuildxBuilder, builder_for, client_environment
from farm.builders.buildx_directory import workplace
from farm.builders.buildx_plugin import Plugin
from farm.builders.engine_builder import EngineBuilder
from farm.errors import InputError, SettingsError
from farm.system.processes import TIE_PROGRAM, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farm.builders.builder import Builder
    from farm.builders.docker_engine import Engine, EngineInfo
    from farm.registry.credentials import Login
    from farm.settings import Settings

_ONLY_BUILDX = (
    "builders",
    "build_secrets",
    "build_ssh",
    "build_cache_from",
    "build_cache_to",
    "sbom",
    "provenance",
)
_NEED_CONTAINERD = ("build_cache_to", "sbom", "provenance")


def reasons(settings: Settings) -> tuple[str, ...]:
    """The settings that ask for what only buildx can do, as farm.yml writes them."""
    return _set(settings, _ONLY_BUILDX)


def uses_buildx(settings: Settings) -> bool:
    """Whether buildx builds.

    Raises:
        SettingsError: `builder: engine` stands beside settings that it cannot honour.
    """
    asked = reasons(settings)
    if settings.builder == "engine" and asked:
        raise SettingsError(
            f"builder: engine cannot do {', '.join(asked)}", hint="say builder: buildx, or auto"
        )
    return settings.builder == "buildx" or bool(asked)


def choose_builder(settings: Settings, engine: Engine, login_for: Callable[[str], Login | None]) -> Builder:
    """The builder for a worker with these settings and this engine.

    Raises:
        SettingsError: as `uses_buildx`.
        InputError: buildx is not installed, or too old.
    """
    if not uses_buildx(settings):
        return EngineBuilder(engine, login_for)
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    return BuildxBuilder(plugin, settings, engine)


def describe_builder(settings: Settings) -> str:
    """The builder in a word or two, and why it is that one: "engine", "buildx 0.13.1 (for sbom)".

    Raises:
        SettingsError: as `uses_buildx`.
        InputError: buildx, or what it needs on this machine, is not there.
    """
    if not uses_buildx(settings):
        return "engine"
    plugin = checked_plugin(settings)
    why = f" (for {', '.join(reasons(settings))})" if reasons(settings) else ""
    return f"buildx {plugin.version}{why}"


def checked_plugin(settings: Settings) -> Plugin:
    """The buildx of this machine, after a look at whether it has all that it is to be given.

    Raises:
        InputError: buildx, or what it needs on this machine, is not there.
    """
    require(*TIE_PROGRAM)
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    check_sources(settings)
    return plugin


def check_sources(settings: Settings) -> None:
    """Make sure that this machine has every secret and every key that its builds are promised.

    Raises:
        InputError: one is not there; the message names it and never what is in it.
    """
    variables = client_environment(settings, DEFAULT)
    for name, source in settings.build_secrets:
        variable = source.removeprefix("env:")
        there = variable in variables if variable != source else os.access(source, os.R_OK)
        if not there:
            raise InputError(f"build-secrets: {name}: {source} cannot be read")
    for entry in settings.build_ssh:
        _, _, source = entry.partition("=")
        if not source and "SSH_AUTH_SOCK" not in variables:
            raise InputError(f"build-ssh: {entry}: no SSH agent, SSH_AUTH_SOCK is not set")
        # Several keys may stand in one entry.
        for path in filter(None, source.split(",")):
            if not Path(path).exists():
                raise InputError(f"build-ssh: {entry}: {path} does not exist")


def check_builders(settings: Settings, info: EngineInfo, arches: Iterable[str]) -> tuple[str, ...]:
    """Ask every builder that is named for one of these architectures; returns those that they serve.

    Raises:
        InputError: a builder does not exist, or does not build that architecture; or attestations or caches
            are wanted of an engine that cannot make them.
        EngineUnavailableError: a builder does not answer.
    """
    if not uses_buildx(settings):
        return ()
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    elsewhere = {arch: name for arch in arches if (name := builder_for(settings, arch)) != DEFAULT}
    for arch, name in elsewhere.items():
        check_builder(settings, plugin, name, arch)
    if set(arches) - set(elsewhere):
        check_store(settings, info)
    return tuple(elsewhere)


def check_builder(settings: Settings, plugin: Plugin, name: str, arch: str) -> None:
    """Make sure that a builder is there, and builds an architecture.

    Raises:
        InputError: it does not exist, or does not build that architecture.
        EngineUnavailableError: it does not answer.
    """
    with workplace(settings) as place:
        variables = client_environment(settings, name) | {"BUILDX_CONFIG": str(place)}
        there = plugin.arches(name, variables, timeout=settings.http_timeout)
    if arch not in there:
        raise InputError(f"builders: {name} does not build linux/{arch}, only {', '.join(there)}")


def check_store(settings: Settings, info: EngineInfo) -> None:
    """Make sure that this machine's engine can make the attestations and caches that are asked for.

    Raises:
        InputError: it cannot.
    """
    wanted = _set(settings, _NEED_CONTAINERD)
    if wanted and not info.containerd:
        raise InputError(f"this engine's image store cannot do {', '.join(wanted)}", hint=USE_CONTAINERD)


def _set(settings: Settings, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.replace("_", "-") for name in names if getattr(settings, name))
