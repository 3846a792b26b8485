"""Programs that the farm runs, and how they are tied to our life."""

from __future__ import annotations

import shutil
import sys

from farm.errors import FarmError

_PACKAGES = {"notary": "notary", "openssl": "openssl", "setpriv": "util-linux"}

# A killed worker takes its programs with it: none publishes behind the back of the lease's next holder. Only
# Linux can do that. Elsewhere, where plans are made and no worker runs, who starts a program ends it.
DIE_WITH_PARENT: tuple[str, ...] = ("setpriv", "--pdeathsig", "KILL") if sys.platform == "linux" else ()
TIE_PROGRAM = DIE_WITH_PARENT[:1]
"""The program that does it, where there is one."""


def require(*names: str) -> None:
    """Make sure that programs are installed.

    Raises:
        FarmError: one is not; the hint names the Debian package.
    """
    for name in names:
        if shutil.which(name) is None:
            raise FarmError(
                f"the program {name} is not installed", hint=f"install it: apt-get install {_PACKAGES[name]}"
            )
