"""Programs that the farm runs, and how they are tied to our life."""

from __future__ import annotations

import shutil

from farm.errors import FarmError

_PACKAGES = {"notary": "notary", "openssl": "openssl", "setpriv": "util-linux"}

# A killed worker takes its programs with it: none publishes behind the back of the lease's next holder.
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")


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
