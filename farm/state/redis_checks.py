"""What the farm needs of its Redis; without it, work would be lost in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoPermissionError

from farm.errors import StateError
from farm.model import ARCHES
from farm.state.store import lease_key, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.state.store import Store

MIN_VERSION = (6, 0)
"""The client speaks RESP3; scripts ask for the time, then write."""
_KEEPS_ALL = "noeviction"
USERS = {
    "maintainer": "submits, follows and cancels runs, drains workers",
    "publisher": "publishes, and sends lost work again",
    "worker": "builds",
    **{f"worker-{arch}": f"builds {arch}" for arch in ARCHES},
    "flower": "watches",
}
"""The users of a shared Redis, and what each is for; `farm.scheduling.access` has their rights."""


class RedisFacts(NamedTuple):
    """A Redis that the farm can use."""

    version: str
    """"" if it does not say."""
    warnings: tuple[str, ...] = ()


@translate_redis_errors
def check_redis(store: Store) -> RedisFacts:
    """Check that Redis keeps what is stored and runs scripts; StateError if it does not.

    Only INFO is asked: services that are managed refuse CONFIG.
    """
    store.run_script("lease_holder", [lease_key("check", "lease")], [])
    try:
        info: Any = store.text.info()
    except NoPermissionError:
        return RedisFacts("", ("it refuses INFO to this user, so whether it evicts keys is unknown",))
    return judge(info)


def check_queues(store: Store, lists: Iterable[str]) -> None:
    """Check that this user of Redis may take messages from these lists; StateDeniedError if it may not."""
    # Each is trimmed to what it has: like taking a message, that needs the right to read and to remove.
    store.ask(("ltrim", name, 0, -1) for name in lists)


def judge(info: Mapping[str, Any]) -> RedisFacts:
    """What the answer of INFO means for the farm."""
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers and numbers < MIN_VERSION:
        needed = ".".join(map(str, MIN_VERSION))
        raise StateError(f"Redis is version {version}, and the farm needs {needed} or newer")
    policy = info.get("maxmemory_policy")
    if policy not in (_KEEPS_ALL, None):
        raise StateError(
            f"Redis evicts keys when its memory is full (maxmemory-policy {policy}): contexts, leases and "
            "records would be lost",
            hint=f"set maxmemory-policy to {_KEEPS_ALL}",
        )
    warnings = []
    if policy is None:
        warnings.append("it does not say whether it evicts keys: maxmemory-policy must be noeviction")
    if not info.get("aof_enabled"):
        warnings.append("it has no append-only file: a restart loses the runs in progress")
    return RedisFacts(version, tuple(warnings))
