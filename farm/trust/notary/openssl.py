"""openssl, which makes and opens keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.settings import Secret, environment
from farm.system.processes import TIE_PROGRAM, require, run_text

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
    return run_text(
        ["openssl", *arguments],
        timeout=deadline.left(),
        late=deadline.missed(),
        given=lines,
        environment=environment(["PATH"]),
    )
