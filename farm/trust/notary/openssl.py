"""openssl, which makes and opens keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.settings import Secret, environment
from farm.system.processes import DIE_WITH_PARENT, TIE_PROGRAM, decoded, require, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Sequence

    from farm.trust.notary.deadline import Deadline


def openssl(
    arguments: Sequence[str], deadline: Deadline, secrets: Iterable[Secret] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one openssl command; `-passin stdin`, then `-passout stdin`, read one of the secrets each.

    Raises:
        TrustUnavailableError: the deadline passed; the process is dead by then.
        FarmError: openssl is not installed.
    """
    require("openssl", *TIE_PROGRAM)
    lines = "".join(f"{secret.reveal()}\n" for secret in secrets)
    command = [*DIE_WITH_PARENT, "openssl", *arguments]
    limit, late, variables = deadline.left(), deadline.missed(), environment(["PATH"])
    return decoded(run(command, timeout=limit, late=late, given=lines.encode(), environment=variables))
