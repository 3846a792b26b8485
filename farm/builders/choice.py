"""Which builder a machine uses, and whether it has all that its builds need, before it accepts work.

It is `engine`, unless its settings need `buildx`: `uses_buildx` alone decides.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.buildx_builder import BuildxBuilder
from farm.builders.buildx_plugin import (
    DEFAULT_BUILDER,
    Plugin,
    builder_for,
    client_environment,
    config_directory,
)
from farm.builders.engine_builder import EngineBuilder
from farm.builders.failures import USE_CONTAINERD
from farm.errors import InputError, SettingsError
from farm.system.processes import TIE_PROGRAM
from farm.system.programs import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farm.builders.builder import Builder
    from farm.builders.docker_engine import Engine, EngineInfo
    from farm.registry.credentials import Login
    from farm.settings import Settings

_NEED_CONTAINERD = ("build_cache_to", "sbom", "provenance")
_NEED_BUILDX = ("builders", "build_secrets", "build_ssh", "build_cache_from", *_NEED_CONTAINERD)


def buildx_reasons(settings: Settings) -> tuple[str, ...]:
    """The settings that need buildx, as farm.yml spells them."""
    return _configured(settings, _NEED_BUILDX)


def _configured(settings: Settings, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.replace("_", "-") for name in names if getattr(settings, name))


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
    """The builder for these settings and this engine; raises what `uses_buildx` and `Plugin.find` raise."""
    if not uses_buildx(settings):
        return EngineBuilder(engine, login_for)
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    return BuildxBuilder(plugin, settings, engine)


def describe_builder(settings: Settings) -> str:
    """The builder and the reasons for it, such as "engine" or "buildx 0.13.1 (for sbom)".

    Raises what `uses_buildx` and `checked_plugin` raise.
    """
    if not uses_buildx(settings):
        return "engine"
    plugin = checked_plugin(settings)
    reasons = ", ".join(buildx_reasons(settings))
    return f"buildx {plugin.version}{f' (for {reasons})' if reasons else ''}"


def checked_plugin(settings: Settings) -> Plugin:
    """This machine's buildx, after a check that it and every secret and SSH key are available.

    Raises:
        InputError: buildx, a secret or a key is missing, or buildx is too old; the message never contains a
            secret.
    """
    require(*TIE_PROGRAM)
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    check_secrets(settings)
    return plugin


def check_secrets(settings: Settings) -> None:
    """Raise InputError unless this machine has every secret and SSH key of the settings."""
    variables = client_environment(settings, DEFAULT_BUILDER)
    for name, source in settings.build_secrets:
        variable = source.removeprefix("env:")
        exists = variable in variables if variable != source else os.access(source, os.R_OK)
        if not exists:
            raise InputError(f"build-secrets: {name}: {source} cannot be read")
    for entry in settings.build_ssh:
        _, _, source = entry.partition("=")
        if not source and "SSH_AUTH_SOCK" not in variables:
            raise InputError(f"build-ssh: {entry}: no SSH agent, SSH_AUTH_SOCK is not set")
        # An entry may list several keys.
        for path in filter(None, source.split(",")):
            if not Path(path).exists():
                raise InputError(f"build-ssh: {entry}: {path} does not exist")


def check_builders(
    settings: Settings, info: Callable[[], EngineInfo], arches: Iterable[str], plugin: Plugin | None = None
) -> tuple[str, ...]:
    """Check the builder of each of these architectures; return those that have a builder of their own.

    `info` asks this machine's engine, which is needed only for the other architectures.

    Raises:
        InputError: a builder does not exist, or does not build for its architecture; or this machine's engine
            cannot make the attestations or caches of the settings.
        EngineUnavailableError: a builder does not answer.
    """
    if not uses_buildx(settings):
        return ()
    plugin = plugin or Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    remote = {arch: name for arch in arches if (name := builder_for(settings, arch)) != DEFAULT_BUILDER}
    for arch, name in remote.items():
        with config_directory(settings) as directory:
            variables = client_environment(settings, name) | {"BUILDX_CONFIG": str(directory)}
            built = plugin.arches(name, variables, timeout=settings.http_timeout)
        if arch not in built:
            raise InputError(f"builders: {name} does not build linux/{arch}, only {', '.join(built)}")
    needed = _configured(settings, _NEED_CONTAINERD)
    if needed and set(arches) - set(remote) and not info().containerd:
        raise InputError(
            f"this engine's image store does not support {', '.join(needed)}", hint=USE_CONTAINERD
        )
    return tuple(remote)
