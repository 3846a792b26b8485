"""The names of this machine and of its user, as messages and worker names show them."""

from __future__ import annotations

import os
import platform
import pwd


def host_name() -> str:
    """The name of this machine."""
    return platform.node()


def user_at_host() -> str:
    """The user who submits, drains or cancels: `user@host`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container may run under a number that its /etc/passwd does not have.
        user = str(os.getuid())
    return f"{user}@{host_name()}"
