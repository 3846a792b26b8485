"""Reading signatures back, from the server and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.trust.notary.client import Notary, NotaryServer, fresh
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.failures import incomplete_roles, is_unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Reference
    from farm.registry.credentials import Login

RELEASES = "targets/releases"
# Docker believes these roles, in this order.
_BELIEVED = (RELEASES, "targets")
_THREADS = 16
_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Signed:
    """What a tag is signed to be: digest (sha256:HEX) and size in bytes, and the role that says so."""

    digest: str
    size: int
    role: str


@dataclass(frozen=True, slots=True)
class SignedTargets:
    """What the server says of one GUN; `expired` names a role whose signatures are too old to count."""

    signed: dict[str, Signed]
    expired: str | None = None


def signed_digests(
    guns: Sequence[str],
    server: NotaryServer,
    *,
    timeout: float,
    login: Login | None = None,
    role: str = RELEASES,
) -> dict[str, dict[str, Signed]]:
    """What the server holds as signed, by GUN and tag; a GUN that it does not know has no tags.

    Each GUN is read into an empty trust directory, since notary falls back to what it has seen before
    when the server is away; several are read at a time.

    Args:
        guns: such as docker.io/linuxkit/foo.
        server: where to read.
        timeout: seconds for one GUN.
        login: the account, where reading needs one.
        role: the delegation that counts, beside `targets` itself.

    Raises:
        TrustUnavailableError: the server cannot be reached, or was silent.
        TrustDeniedError: it refuses the login.
        TrustError: its answer does not hold: an untrusted certificate, expired or incomplete metadata.
    """

    def read(gun: str) -> dict[str, Signed]:
        deadline = Deadline.after(timeout, f"reading the signatures of {gun}")
        with fresh(gun, server, deadline, login) as notary:
            return _valid(gun, standing(notary, role))

    with ThreadPoolExecutor(min(_THREADS, max(1, len(guns)))) as threads:
        readings = {gun: threads.submit(read, gun) for gun in guns}
        try:
            return {gun: reading.result() for gun, reading in readings.items()}
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def verify(
    reference: Reference,
    digest: str,
    size: int,
    server: NotaryServer,
    *,
    timeout: float,
    login: Login | None = None,
    role: str = RELEASES,
) -> None:
    """Make sure that a tag is signed to be what it should be.

    Args:
        reference: NAME:TAG.
        digest: sha256:HEX that must be signed.
        size: bytes that must be signed.
        server: where to read.
        timeout: seconds that it may take.
        login: the account, where reading needs one.
        role: the delegation that counts, beside `targets` itself.

    Raises:
        TrustError: it is not signed, or signed to be something else; and as `signed_digests`.
    """
    tags = signed_digests([reference.name], server, timeout=timeout, login=login, role=role)[reference.name]
    found = tags.get(reference.tag or "")
    if found is None:
        raise TrustError(
            f"{reference} is not signed", hint="`farm manifest` on its package signs what stands"
        )
    if (found.digest, found.size) != (digest, size):
        raise TrustError(
            f"{reference} is signed as {found.digest} ({found.size} bytes), not {digest} ({size} bytes)"
        )


def standing(notary: Notary, role: str = RELEASES) -> SignedTargets | None:
    """What the server says of a GUN; None when it does not know it. The trust directory must be a fresh one.

    Raises:
        TrustError: as `signed_digests`, but for an expired delegation, which is part of the answer.
    """
    roles = tuple(dict.fromkeys((role, *_BELIEVED)))
    outcome = notary.attempt("list", notary.gun, *(word for name in roles for word in ("-r", name)))
    if outcome.status != 0 and is_unknown(outcome.output):
        return None
    if outcome.status != 0:
        raise notary.error(outcome)
    missing = incomplete_roles(outcome.output)
    reason = missing.get(role, "")
    if role in missing and "expired" not in reason:
        raise TrustError(f"the signatures of {notary.gun} in {role} cannot be read: {reason}")
    return SignedTargets(parse_list(outcome.output, (role, "targets")), role if role in missing else None)


def require_initialised(
    gun: str, server: NotaryServer, *, timeout: float, login: Login | None = None
) -> None:
    """Make sure that the server knows a GUN, before anything is pushed that shall be signed.

    Raises:
        TrustError: it does not; the hint names the administrator's command. And as `signed_digests`.
    """
    with fresh(gun, server, Deadline.after(timeout, f"looking for {gun}"), login) as notary:
        known(notary)


def known(notary: Notary, role: str = RELEASES) -> SignedTargets:
    """What the server says of a GUN that it must know; the trust directory must be a fresh one.

    Raises:
        TrustError: it does not know it; and as `standing`.
    """
    found = standing(notary, role)
    if found is None:
        raise TrustError(
            f"{notary.gun} is not initialised on {notary.server.url}",
            hint=f"the administrator does it once: farm trust init {notary.gun}",
        )
    return found


def parse_list(output: str, roles: Sequence[str]) -> dict[str, Signed]:
    """The table that `notary list` prints, by tag; rows of roles other than `roles` do not count."""
    rows = [line.split() for line in output.splitlines()]
    return {
        row[0]: Signed(f"sha256:{row[1]}", int(row[2]), row[3])
        for row in rows
        if len(row) == _COLUMNS and row[2].isdecimal() and row[3] in roles
    }


def _valid(gun: str, found: SignedTargets | None) -> dict[str, Signed]:
    if found and found.expired:
        raise TrustError(
            f"the signatures of {gun} in {found.expired} have expired",
            hint="sign any tag of it again: that renews them all",
        )
    return found.signed if found else {}
