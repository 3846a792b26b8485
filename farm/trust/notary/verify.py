"""Reading signatures back from the server, never from the client's own cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.trust.notary.client import Notary, NotaryServer, open_client
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.failures import incomplete_roles, is_unknown
from farm.trust.signer import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.registry.credentials import Login

RELEASES = "targets/releases"
"""The delegation in which docker looks for tags, before `targets` itself.

https://docs.docker.com/engine/security/trust/trust_delegation/
"""
_THREADS = 16
_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class SignedTargets:
    """What the server holds as signed for one GUN."""

    signed: dict[str, Signature]
    """By tag."""
    expired: str | None = None
    """The role, if it has expired: its signatures do not count then, see
    https://theupdateframework.github.io/specification/latest/#update-targets
    """


def read_signatures(
    guns: Sequence[str],
    server: NotaryServer,
    *,
    timeout: float,
    login: Login | None = None,
    role: str = RELEASES,
) -> dict[str, dict[str, Signature]]:
    """What the server holds as signed, by GUN and tag; a GUN that it does not know has no tags.

    Args:
        guns: such as docker.io/linuxkit/foo; up to 16 are read at a time.
        server: where to read.
        timeout: seconds for one GUN.
        login: the account, where reading needs one.
        role: the delegation that counts, beside `targets` itself.

    Raises:
        TrustUnavailableError: the server cannot be reached, or does not answer.
        TrustDeniedError: it refuses the login.
        TrustError: an untrusted certificate, or expired or incomplete metadata.
    """

    def read(gun: str) -> dict[str, Signature]:
        deadline = TrustDeadline.after(timeout, f"reading the signatures of {gun}")
        with open_client(gun, server, deadline, login) as notary:
            return _unexpired(gun, read_targets(notary, role))

    with ThreadPoolExecutor(min(_THREADS, max(1, len(guns)))) as threads:
        readings = {gun: threads.submit(read, gun) for gun in guns}
        try:
            return {gun: reading.result() for gun, reading in readings.items()}
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def require_initialised(
    gun: str, server: NotaryServer, *, timeout: float, login: Login | None = None
) -> None:
    """Make sure that the server knows a GUN, before anything is pushed that has to be signed.

    Raises:
        TrustError: it does not; the hint names the administrator's command. And as `read_signatures`.
    """
    with open_client(gun, server, TrustDeadline.after(timeout, f"looking for {gun}"), login) as notary:
        read_initialised(notary)


def read_initialised(notary: Notary, role: str = RELEASES) -> SignedTargets:
    """As `read_targets`, for a GUN that must be initialised.

    Raises:
        TrustError: the server does not know it; and as `read_targets`.
    """
    targets = read_targets(notary, role)
    if targets is None:
        raise TrustError(
            f"{notary.gun} is not initialised on {notary.server.url}",
            hint=f"the administrator does it once: farm trust init {notary.gun}",
        )
    return targets


def read_targets(notary: Notary, role: str = RELEASES) -> SignedTargets | None:
    """What the server holds as signed for a GUN; None when it does not know the GUN.

    The trust directory must be empty: `notary list` falls back to what it has there when the server cannot
    be reached, with exit status 0.

    Raises:
        TrustError: as `read_signatures`, except for an expired delegation, which the result reports.
    """
    roles = dict.fromkeys((role, RELEASES, "targets"))
    result = notary.attempt("list", notary.gun, *(word for name in roles for word in ("-r", name)))
    if result.status != 0 and is_unknown(result.output):
        return None
    if result.status != 0:
        raise notary.error(result)
    missing = incomplete_roles(result.output)
    reason = missing.get(role, "")
    if role in missing and "expired" not in reason:
        raise TrustError(f"the signatures of {notary.gun} in {role} cannot be read: {reason}")
    return SignedTargets(parse_list(result.output, (role, "targets")), role if role in missing else None)


def parse_list(output: str, roles: Sequence[str]) -> dict[str, Signature]:
    """The rows for `roles` in the table that `notary list` prints (NAME, DIGEST, SIZE, ROLE), by tag.

    https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/prettyprint.go
    """
    rows = [line.split() for line in output.splitlines()]
    return {
        row[0]: Signature(f"sha256:{row[1]}", int(row[2]), row[3])
        for row in rows
        if len(row) == _COLUMNS and row[2].isdecimal() and row[3] in roles
    }


def _unexpired(gun: str, targets: SignedTargets | None) -> dict[str, Signature]:
    if targets and targets.expired:
        raise TrustError(
            f"the signatures of {gun} in {targets.expired} have expired",
            hint="sign any tag of it again: that renews them all",
        )
    return targets.signed if targets else {}
