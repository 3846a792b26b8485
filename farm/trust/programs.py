"""The programs that trust relies on: notary, openssl, and setpriv, which ties both to our life."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.settings import Secret, environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.trust.deadline import Deadline

_PACKAGES = {"notary": "notary", "openssl": "openssl", "setpriv": "util-linux"}

# A killed worker takes its client with it: nobody publishes behind the back of the lease's next holder.
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


def openssl(
    arguments: Sequence[str], deadline: Deadline, secrets: Iterable[Secret] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one openssl command; `-passin stdin`, then `-passout stdin`, read one of the secrets each.

    Raises:
        TrustUnavailableError: the deadline passed; the process is dead by then.
        FarmError: openssl is not installed.
    """
    require("openssl", "setpriv")
    lines = "".join(f"{secret.reveal()}\n" for secret in secrets)
    try:
        return subprocess.run(
            [*DIE_WITH_PARENT, "openssl", *arguments],
            input=lines,
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline.left(),
            env=environment(["PATH"]),
        )
    except subprocess.TimeoutExpired:
        # The cause would carry what was printed.
        raise deadline.missed() from None
