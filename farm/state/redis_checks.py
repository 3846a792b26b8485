"""What the farm needs of its Redis; without it, work would be lost in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoPermissionError

from farm.errors import StateError
from farm.state.store import lease_key, translate_redis_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.state.store import Store

MIN_VERSION = (6, 0)
"""The client speaks RESP3; scripts ask for the time, then write."""
_KEEPS_ALL = "noeviction"


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
