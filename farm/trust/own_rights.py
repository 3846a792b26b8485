"""Whether the maintainer of this machine may order something, said before anything is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm.errors import PolicyError
from farm.trust.orders import check_rights
from farm.trust.places import current_policy, order_key_path
from farm.trust.ssh_signatures import public_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.model import PackageWork
    from farm.settings import Settings
    from farm.trust.policy import Maintainer, Policy


def check_own_rights(settings: Settings, names: Iterable[str], *, release: bool) -> None:
    """Raise unless this machine's policy lets the owner of its order key order these names.

    Workers and publishers go by their own policies.

    Raises:
        SettingsError: no key or no policy is set.
        TrustDeniedError: the key is no SSH key, or the policy does not let its owner do this.
    """
    maintainer, policy = _own_maintainer(settings)
    policy.may_order(maintainer, names, release=release, at=time.time())


def check_own_works(settings: Settings, works: Iterable[PackageWork]) -> None:
    """The same for what another run had to do, which anybody may have ordered."""
    maintainer, policy = _own_maintainer(settings)
    check_rights(policy, maintainer, tuple(works), at=time.time())


def _own_maintainer(settings: Settings) -> tuple[Maintainer, Policy]:
    policy, path = current_policy(settings), order_key_path(settings)
    key = public_key(path)
    maintainer = policy.maintainer_of(key)
    if maintainer is None:
        raise PolicyError(
            f"order-key: the policy does not name {path}",
            hint=f"farm policy add maintainer NAME --may GLOB --key '{key}'",
        )
    return maintainer, policy
