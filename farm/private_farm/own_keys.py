"""The keys and the policy of the private farm: its user orders, and its workers build, whatever they like."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from farm.attestation.worker_key import create_worker_key, load_worker_key
from farm.errors import InputError, SettingsError
from farm.model import ARCHES
from farm.private_farm.state_directory import StateDirectory
from farm.system.files import make_private, write_once
from farm.trust.places import own_order_key, own_policy, own_worker_key
from farm.trust.policy import Maintainer, Policy, WorkerKey, ended
from farm.trust.policy_edit import change_policy
from farm.trust.ssh_signatures import public_key

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "private-farm"


class OwnTrust(NamedTuple):
    """The files by which a private farm trusts itself."""

    policy: Path
    order_key: Path
    worker_key: Path


def ensure_own_trust(directory: StateDirectory | Path) -> OwnTrust:
    """Create what is missing of the keys and the policy of a private farm, and keep what is there.

    Several processes may do so at once, and each may be killed: every file is whole or absent, and a policy
    that lacks a key gets it.

    Raises:
        SettingsError: a file cannot be written or read.
        PolicyError: another user could have written the policy.
    """
    at = directory.directory if isinstance(directory, StateDirectory) else directory
    own = OwnTrust(own_policy(at), own_order_key(at), own_worker_key(at))
    try:
        if _is_complete(own):
            return own
        make_private(at)
        write_once(own.order_key, _new_order_key())
        order, worker = public_key(own.order_key), _worker_key(own.worker_key)
    except OSError as error:
        raise SettingsError(f"state-dir: {at} cannot be used: {error.strerror}") from error
    change_policy(own.policy, lambda policy: _with_own_keys(policy, order, worker))
    return own


def _is_complete(own: OwnTrust) -> bool:
    """Whether the policy was written after the keys, and so names them; to read the keys takes 50 ms."""
    times = [path.stat().st_mtime_ns for path in own if path.exists() and path.stat().st_size]
    return len(times) == len(own) and times[0] > max(times[1:])


def _with_own_keys(policy: Policy, order: str, worker: str) -> Policy:
    """The policy with both keys; earlier keys of the same name have ended."""
    if policy == Policy():
        policy = Policy(build_arguments=("*",), frontends=("**",))
    now = float(int(time.time()))
    if policy.maintainer_of(order) is None:
        own = Maintainer(_NAME, order, ("**",), release=True)
        policy = replace(policy, maintainers=(*ended(policy.maintainers, _NAME, now), own))
    if policy.worker_of(worker) is None:
        key = WorkerKey(_NAME, worker, ARCHES)
        policy = replace(policy, workers=(*ended(policy.workers, _NAME, now), key))
    return policy


def _new_order_key() -> str:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 45 ms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    form = serialization.PrivateFormat.OpenSSH
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _worker_key(path: Path) -> str:
    """Create a key of ECDSA P-256 if the file is missing; returns its public half, as a policy writes it."""
    if not path.exists() or not path.stat().st_size:
        # Another process may create it first.
        with suppress(InputError):
            return create_worker_key(path)
    return load_worker_key(path).public
