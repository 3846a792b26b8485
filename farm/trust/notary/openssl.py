"""Running the openssl program, which makes and opens keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.settings import Secret, environment
from farm.system.processes import DIE_WITH_PARENT, TIE_PROGRAM, decoded, require, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Sequence

    from farm.trust.notary.deadline import TrustDeadline


def openssl(
    arguments: Sequence[str], deadline: TrustDeadline, secrets: Iterable[Secret] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one openssl command; `-passin stdin`, then `-passout stdin`, each read one of the secrets.

    Secrets go through stdin because other users can see command lines:
    https://docs.openssl.org/master/man1/openssl-passphrase-options/

    Raises:
        TrustUnavailableError: the deadline passed; the process has been killed.
        FarmError: openssl is not installed.
    """
    require("openssl", *TIE_PROGRAM)
    lines = "".join(f"{secret.reveal()}\n" for secret in secrets)
    command = [*DIE_WITH_PARENT, "openssl", *arguments]
    limit, late, variables = deadline.left(), deadline.missed(), environment(["PATH"])
    return decoded(run(command, timeout=limit, late=late, given=lines.encode(), environment=variables))
