"""The signer that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.registry.credentials import Credentials
    from farm.settings import Settings
    from farm.trust.signer import Signer


def make_signer(settings: Settings, credentials: Credentials | None = None) -> Signer:
    """The signer of this farm. Notary is the only one; the choice of another belongs here.

    Args:
        settings: keys, servers and time limits.
        credentials: the registry logins, which notary takes too; None loads docker's when one is needed.
    """
    from farm.trust.notary.signer import NotarySigner  # noqa: PLC0415 - start-up time counts without signing, too

    return NotarySigner(settings, credentials)
