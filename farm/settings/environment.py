"""The environment of this process, and of those that it starts. No other package reads it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from farm.settings.declaration import FIELDS, Settings
from farm.settings.sources import CONFIG_VARIABLE
from farm.syntax.setting_types import SECRET_READERS, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def environment(names: Iterable[str] | None = None) -> dict[str, str]:
    """Those of the named variables that are set; without names, all variables."""
    return {name: os.environ[name] for name in (os.environ if names is None else names) if name in os.environ}


def child_environment(settings: Settings, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a worker or Flower starts with exactly these settings.

    It may hold secrets: only its owner can read the environment of a process, unlike its arguments.
    """
    passed = _inherited()
    values = {name: getattr(settings, name) for name in FIELDS}
    passed |= {f"FARM_{name.upper()}": _write(value) for name, value in values.items() if value is not None}
    return passed | {CONFIG_VARIABLE: os.devnull, "PYTHONSAFEPATH": "1"} | dict(extra or {})


def without_signing_keys(settings: Settings) -> Settings:
    """The settings of a process that must not be able to sign, such as one that runs code of packages."""
    nothing: dict[str, Any] = dict.fromkeys(_SIGNING)
    return replace(settings, **nothing)


_SIGNING = (
    "signing_key",
    "signing_passphrase",
    "signing_passphrase_command",
    "cosign_key",
    "cosign_private_key",
    "cosign_password",
    "root_passphrase",
    "order_key",
)


def cosign_environment(passphrase: Secret | None) -> dict[str, str]:
    """The environment of the cosign program, which holds what reaches its KMS, and no secret of the farm."""
    return _inherited() | ({"COSIGN_PASSWORD": passphrase.reveal()} if passphrase else {})


def buildx_environment(kept: Iterable[str]) -> dict[str, str]:
    """The environment of buildx and its credential helpers.

    Left out are the farm's settings and secrets, and variables that would override buildx's command line,
    except for those in `kept`.
    """
    found = {key: value for key, value in _inherited().items() if not key.startswith(_OVERRIDING)}
    return found | environment(kept)


_OVERRIDING = ("DOCKER_", "BUILDX_", "BUILDKIT_", "SOURCE_DATE_EPOCH", "OTEL_")


def _inherited() -> dict[str, str]:
    secrets = {item.metadata["also"] for item in FIELDS.values() if item.metadata["read"] in SECRET_READERS}
    return {
        key: value for key, value in os.environ.items() if not key.startswith("FARM_") and key not in secrets
    }


def _write(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        import json  # noqa: PLC0415 - commands that start no process start faster without it

        pairs = all(isinstance(item, tuple) for item in value)
        return json.dumps(dict(value)) if value and pairs else ",".join(map(str, value))
    return str(value)
