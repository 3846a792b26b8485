"""Reading signatures back from the server, never from the client's own cache."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustError, combine
from farm.model.strict_json import json_object
from farm.system.at_once import at_once
from farm.trust.notary.client import Notary, NotaryServer, open_client
from farm.trust.notary.failures import incomplete_roles
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.roots import read_certified
from farm.trust.signer import Signature, SignedName

if TYPE_CHECKING:
    from collections.abc import Sequence

RELEASES = "targets/releases"
"""The delegation in which docker looks for tags, before `targets` itself.

https://docs.docker.com/engine/security/trust/trust_delegation/
"""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_COLUMNS = 4
_HEX, _SIZE = re.compile("[0-9a-f]{64}"), re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class SignedTargets:
    """What the server holds as signed for one GUN."""

    signed: dict[str, Signature]
    """By tag."""
    expired: str | None = None
    """The role, if it has expired: its signatures do not count then, see
    https://theupdateframework.github.io/specification/latest/#update-targets
    """
    allowed: tuple[bytes, ...] = ()
    """The keys that may sign for the role, as certificates or public keys in DER."""


def read_signatures(
    guns: Sequence[str], server: NotaryServer, role: str = RELEASES, *, to_sign: bool = False
) -> dict[str, SignedName]:
    """What the server holds as signed, by GUN; a GUN that it does not know has no tags.

    The role counts beside `targets` itself. Up to 16 GUNs are read at a time. Expired signatures are an error
    unless the caller is about `to_sign`, which renews them.

    Raises:
        TrustError: what some of them have cannot be read, or no pinned root key certifies it; all are named.
    """

    def read(gun: str) -> SignedName | TrustError:
        try:
            return read_one(gun)
        except TrustError as error:
            return error

    def read_one(gun: str) -> SignedName:
        deadline = TrustDeadline.after(server.timeout, f"reading the signatures of {gun}")
        with open_client(gun, server, deadline) as notary:
            targets = read_targets(notary, role)
            if targets is None:
                return SignedName(gun, {}, _not_initialised(notary))
        if targets.expired and not to_sign:
            raise TrustError(
                f"the signatures of {gun} in {targets.expired} have expired",
                hint="sign any tag of it again: that renews them all",
            )
        refusal = None if targets.allowed else _no_delegation(gun, role)
        return SignedName(gun, targets.signed, refusal, targets.allowed)

    found = at_once(read, guns)
    if errors := [one for one in found if isinstance(one, TrustError)]:
        raise combine(errors)
    return {one.name: one for one in found if isinstance(one, SignedName)}


def _not_initialised(notary: Notary) -> TrustError:
    return TrustError(
        f"{notary.gun} is not initialised on {notary.server.url}",
        hint=f"the administrator does it once: farm trust init {notary.gun}",
    )


def _no_delegation(gun: str, role: str) -> TrustError:
    return TrustError(
        f"{gun} has no delegation {role}, so no key may sign for it",
        hint=f"the administrator allows one: farm trust init {gun}",
    )


def read_initialised(notary: Notary, role: str = RELEASES) -> SignedTargets:
    """As `read_targets`, for a GUN that must be initialised."""
    targets = read_targets(notary, role)
    if targets is None:
        raise _not_initialised(notary)
    return targets


def read_targets(notary: Notary, role: str) -> SignedTargets | None:
    """What the server holds as signed for a GUN; None when it does not know the GUN.

    The trust directory must be empty: `notary list` falls back to what it has there when the server cannot
    be reached, with exit status 0. A pinned root key must certify what the server holds.
    """
    roles = dict.fromkeys((role, RELEASES, "targets"))
    words = [word for name in roles for word in ("-r", name)]
    output = read_certified(notary, "list", notary.gun, *words)
    if output is None:
        return None
    missing = incomplete_roles(output)
    reason = missing.get(role, "")
    if role in missing and "expired" not in reason:
        raise TrustError(f"the signatures of {notary.gun} in {role} cannot be read: {reason}")
    expired = role if role in missing else None
    return SignedTargets(parse_list(output, (role, "targets")), expired, _allowed_keys(notary, role))


def _allowed_keys(notary: Notary, role: str) -> tuple[bytes, ...]:
    """The keys of a role, in the metadata of the role above it, which the client verified and saved.

    https://theupdateframework.github.io/specification/latest/#file-formats-targets
    """
    above = role.rpartition("/")[0]
    file = notary.trust_dir / "tuf" / notary.gun / "metadata" / f"{above or 'root'}.json"
    if not file.is_file():
        return ()
    try:
        return parse_keys(file.read_bytes(), role)
    except (KeyError, TypeError, ValueError) as error:
        raise TrustError(f"the metadata of {notary.gun} cannot be read: {file.name}: {error}") from error


def parse_keys(metadata: bytes, role: str) -> tuple[bytes, ...]:
    """The keys of a role in the metadata of the role above it, as certificates or public keys in DER.

    Raises:
        KeyError, TypeError, ValueError: it is no metadata, or has no such role.
    """
    signed = json_object(metadata)["signed"]
    if "/" in role:
        signed = signed["delegations"]
        ids = [one["keyids"] for one in signed["roles"] if one["name"] == role]
    else:
        ids = [signed["roles"][role]["keyids"]]
    return tuple(_der(signed["keys"][key]["keyval"]["public"]) for found in ids for key in found)


def _der(public: str) -> bytes:
    """A key in metadata, base64 of a certificate in PEM or of a key in DER, as DER."""
    data = base64.b64decode(public)
    pem = _CERTIFICATE.search(data)
    return base64.b64decode(pem[1]) if pem else data


def parse_list(output: str, roles: Sequence[str]) -> dict[str, Signature]:
    """The rows for `roles` in the table that `notary list` prints (NAME, DIGEST, SIZE, ROLE), by tag.

    https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/prettyprint.go
    """
    rows = [line.split() for line in output.splitlines()]
    return {
        row[0]: Signature(f"sha256:{row[1]}", int(row[2]))
        for row in rows
        if len(row) == _COLUMNS and _HEX.fullmatch(row[1]) and _SIZE.fullmatch(row[2]) and row[3] in roles
    }
