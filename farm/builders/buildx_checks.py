"""Check, before a worker or a build starts, that this machine has all that builds by buildx need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.build_failures import USE_CONTAINERD
from farm.builders.buildx_directory import config_directory
from farm.builders.buildx_environment import DEFAULT_BUILDER, client_environment
from farm.builders.buildx_plugin import Plugin
from farm.errors import InputError
from farm.system.processes import TIE_PROGRAM, require

if TYPE_CHECKING:
    from farm.builders.docker_engine import EngineInfo
    from farm.settings import Settings

_NEED_CONTAINERD = ("build_cache_to", "sbom", "provenance")


def checked_plugin(settings: Settings) -> Plugin:
    """Return this machine's buildx, after a check that it and every secret and key are available.

    Raises:
        InputError: buildx, a secret or a key is missing, or buildx is too old.
    """
    require(*TIE_PROGRAM)
    plugin = Plugin.find(settings.docker_config, timeout=settings.http_timeout)
    check_secrets(settings)
    return plugin


def check_secrets(settings: Settings) -> None:
    """Make sure that this machine has every secret and SSH key of the settings.

    Raises:
        InputError: one is missing; the message names it, and never its content.
    """
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


def check_builder(settings: Settings, plugin: Plugin, name: str, arch: str) -> None:
    """Make sure that a buildx builder exists, and builds for an architecture.

    Raises:
        InputError: the builder does not exist, or does not build for that architecture.
        EngineUnavailableError: the builder does not answer.
    """
    with config_directory(settings) as directory:
        variables = client_environment(settings, name) | {"BUILDX_CONFIG": str(directory)}
        arches = plugin.arches(name, variables, timeout=settings.http_timeout)
    if arch not in arches:
        raise InputError(f"builders: {name} does not build linux/{arch}, only {', '.join(arches)}")


def check_image_store(settings: Settings, info: EngineInfo) -> None:
    """Make sure that this machine's engine can make the attestations and caches of the settings.

    Raises:
        InputError: the engine cannot make them.
    """
    needed = configured(settings, _NEED_CONTAINERD)
    if needed and not info.containerd:
        raise InputError(
            f"this engine's image store does not support {', '.join(needed)}", hint=USE_CONTAINERD
        )


def configured(settings: Settings, names: tuple[str, ...]) -> tuple[str, ...]:
    """The settings among these that have a value, as farm.yml spells them."""
    return tuple(name.replace("_", "-") for name in names if getattr(settings, name))
