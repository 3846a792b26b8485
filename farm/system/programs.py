"""Which programs are installed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from farm.errors import FarmError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = {
    "cosign": "cosign",
    "dot": "graphviz",
    "notary": "notary",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "ssh-keygen": "openssh-client",
}


def require(*names: str) -> None:
    """Make sure that programs are installed; the error's hint names the Debian package of one that is not."""
    for name in names:
        if shutil.which(name) is None:
            raise FarmError(
                f"the program {name} is not installed", hint=f"install it: apt-get install {_PACKAGES[name]}"
            )


def stop_with_parent(command: Sequence[str]) -> list[str]:
    """The command line of a program that gets SIGTERM when its parent ends, where setpriv is installed."""
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []), *command]
