"""Where the policy and the farm's own keys are: as the settings say, or those that a private farm made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import SettingsError
from farm.trust.policy import Policy
from farm.trust.policy_file import load_policy

if TYPE_CHECKING:
    from pathlib import Path

    from farm.settings import Settings


def own_policy(state_dir: Path) -> Path:
    """The policy of a private farm."""
    return state_dir.absolute() / "policy.yml"


def own_order_key(state_dir: Path) -> Path:
    """The SSH key with which a private farm's user signs orders."""
    return state_dir.absolute() / "order-key"


def own_worker_key(state_dir: Path) -> Path:
    """The key of the worker of a private farm, and of any worker that names no other."""
    return state_dir.absolute() / "worker-key.pem"


def policy_path(settings: Settings) -> Path:
    """The policy file; SettingsError if there must be one, and none is named."""
    if settings.policy:
        return settings.policy
    if settings.broker is None:
        return own_policy(settings.state_dir)
    raise SettingsError(
        "no policy is set, and without one nobody may order or attest anything",
        hint="set policy to the farm's policy.yml: farm policy add maintainer",
    )


def order_key_path(settings: Settings) -> Path:
    """The SSH key for orders; SettingsError if there must be one, and none is named."""
    if settings.order_key:
        return settings.order_key
    if settings.broker is None:
        return own_order_key(settings.state_dir)
    raise SettingsError(
        "no order key is set, and workers build only what a maintainer's key has signed",
        hint="set order-key to an SSH key that the policy names: farm policy add maintainer",
    )


def worker_key_path(settings: Settings) -> Path:
    """The key of a worker."""
    return settings.worker_key or own_worker_key(settings.state_dir)


def with_own_places(settings: Settings) -> Settings:
    """The settings of a private farm with its policy and keys, where they name no others."""
    return replace(
        settings,
        policy=policy_path(settings),
        order_key=order_key_path(settings),
        worker_key=worker_key_path(settings),
    )


def current_policy(settings: Settings) -> Policy:
    """The policy; an empty one for a private farm that was never started."""
    path = policy_path(settings)
    if settings.policy is None and not path.exists():
        return Policy()
    return load_policy(path)
