"""The root key that certifies what a notary server shows: only a pinned one counts.

The client verifies everything from root.json downwards, and takes that on trust. So root.json is compared
with the pins after each reading; the client has saved it before it read anything else:
https://theupdateframework.github.io/specification/latest/#file-formats-root

An administrator may replace the root key: the old one then signs the new root.json. A reader that has
verified the old root.json keeps it, and lets the client follow the signatures from there, as TUF prescribes:
https://theupdateframework.github.io/specification/latest/#update-root
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
import shutil
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from farm.errors import TrustError
from farm.system.files import make_private
from farm.trust.notary.client import open_client
from farm.trust.notary.failures import UNKNOWN
from farm.trust.notary.keys import certified_key_id
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.pins import is_root_id, read_pins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farm.trust.notary.client import Notary, NotaryServer

# https://github.com/theupdateframework/notary/blob/v0.7.0/trustpinning/certs.go
_NOT_FOLLOWED = re.compile(
    rf"{UNKNOWN.pattern}|could not (?:rotate trust to a new|validate the path to a) trusted root"
)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE-----\n")


def read_certified(notary: Notary, *arguments: str, ids: Sequence[str] | None = None) -> str | None:
    """The output of a command that reads a GUN, certified by a pinned root key; None if it is unknown.

    The trust directory must be empty. `ids` are the root keys that count, if they are not the pinned ones.

    Raises:
        TrustError: no root key is pinned for the GUN, or the server shows another one.
    """
    output = notary.run(*arguments, expected=UNKNOWN)
    if output is None:
        return None
    ids = read_pins(notary.server.pins).ids(notary.gun) if ids is None else ids
    kept, found = _kept(notary, ids), _read_root(notary)
    before = kept.read_bytes() if kept.is_file() else None
    if found == before:
        return output
    shown = root_ids(notary)
    if not set(shown) <= set(ids):
        output = _follow(notary, before, arguments) if ids and before else None
        if output is None:
            raise _not_pinned(notary, shown, ids)
    _keep(kept, _read_root(notary))
    return output


def read_roots(gun: str, server: NotaryServer) -> tuple[str, ...]:
    """The ids of the root keys that a server shows for a GUN, whether pinned or not.

    Raises:
        TrustError: the server does not know the GUN.
    """
    deadline = TrustDeadline.after(server.timeout, f"reading the root key of {gun}")
    with open_client(gun, server, deadline) as notary:
        notary.run("list", gun)
        return root_ids(notary)


def root_ids(notary: Notary) -> tuple[str, ...]:
    """The ids of the root keys in the root.json that the client has verified: those of `notary key list`.

    Raises:
        TrustError: it can be read in two ways, or has no key.
    """
    try:
        signed = json.loads(_read_root(notary), object_pairs_hook=_unambiguous)["signed"]
        keys = [(name, signed["keys"][name]) for name in signed["roles"]["root"]["keyids"]]
        # With another spelling, the client could find another key under the name.
        ids = tuple(_id(notary, base64.b64decode(key["keyval"]["public"])) for _, key in keys)
        if not ids or not all(is_root_id(name) for name, _ in keys):
            raise ValueError  # noqa: TRY301 - as any other root.json that is none
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise TrustError(f"{notary.gun}: {notary.server.url} shows a root.json that is not valid") from error
    return ids


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; the client takes `Signed` for `signed`, and the last of them, as Go does."""
    if len({name.casefold() for name, _ in pairs}) != len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _id(notary: Notary, bundle: bytes) -> str:
    """The id of the key in the first certificate, which is the root's; what follows it are its CAs.

    Only what every reader of PEM reads alike is taken: one skips a damaged certificate, another repairs it.
    """
    bodies = [
        binascii.a2b_base64(body.replace(b"\n", b""), strict_mode=True)
        for body in _CERTIFICATE.findall(bundle)
    ]
    if _CERTIFICATE.sub(b"", bundle):
        raise ValueError("more than certificates")
    file = notary.trust_dir / "root.crt"
    file.write_text(ssl.DER_cert_to_PEM_cert(bodies[0]))
    return certified_key_id(file, notary.deadline)


def _follow(notary: Notary, before: bytes, arguments: Sequence[str]) -> str | None:
    """Read again, starting from a root.json that was verified before; None if no signatures lead from it."""
    shutil.rmtree(notary.trust_dir / "tuf")
    file = _root_file(notary)
    file.parent.mkdir(parents=True)
    file.write_bytes(before)
    return notary.run(*arguments, expected=_NOT_FOLLOWED)


def _not_pinned(notary: Notary, shown: Sequence[str], ids: Sequence[str]) -> TrustError:
    found, file = f"{notary.server.url} shows the root key {_short(shown)}", notary.server.pins
    if not ids:
        return TrustError(
            f"{notary.gun}: no root key is pinned in {file}; {found}",
            hint=f"if that is the administrator's: farm trust pin {notary.gun}",
        )
    return TrustError(
        f"{notary.gun}: {found}, but {_short(ids)} is pinned in {file}",
        hint="trust nothing there; only if the administrator replaced the key: "
        f"farm trust pin --root ID {notary.gun}",
    )


def _short(ids: Sequence[str]) -> str:
    return ", ".join(one[:12] for one in ids)


def _root_file(notary: Notary) -> Path:
    return notary.trust_dir / "tuf" / notary.gun / "metadata" / "root.json"


def _read_root(notary: Notary) -> bytes:
    try:
        return _root_file(notary).read_bytes()
    except OSError as error:
        raise TrustError(f"{notary.gun}: {notary.server.url} shows no root.json") from error


def _kept(notary: Notary, ids: Sequence[str]) -> Path:
    """Where the root.json is kept that was last verified with exactly these pins."""
    pinned = hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()
    return notary.server.work / "roots" / pinned / notary.gun / "root.json"


def _keep(file: Path, content: bytes) -> None:
    """Keep a verified root.json; without it, the next reading is slower, and cannot follow a new key."""
    with suppress(OSError):
        make_private(file.parent)
        new = file.with_name(f"new-{secrets.token_hex(8)}")
        new.write_bytes(content)
        new.replace(file)
