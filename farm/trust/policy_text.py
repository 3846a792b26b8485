"""The text of a policy: YAML, read strictly, so that an error names file, line and field."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from farm.errors import BuildYmlError, SettingsError
from farm.model import ARCHES
from farm.model.reference import is_host
from farm.syntax.yaml_fields import Field, load
from farm.trust.policy import SIGNATURES, Maintainer, Policy, WorkerKey
from farm.trust.ssh_keys import read_public_key
from farm.trust.worker_keys import is_usual_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_GLOB = re.compile(r"[A-Za-z0-9._/:*?\[\]-]{1,255}")
_MOST_WILDCARDS = 8
_MOST_ATTESTATIONS = 10
_FIELDS = (
    "maintainers",
    "workers",
    "signatures",
    "attestations",
    "build-arguments",
    "frontends",
    "cosign-keys",
)


def policy_of(file: str, text: bytes) -> Policy:
    """The policy in a text; `file` is the name that errors give it.

    Raises:
        SettingsError: it is not a valid policy; the error names file, line and field.
    """
    try:
        return _read(load(file, text))
    except BuildYmlError as error:
        raise SettingsError(error.message, hint=error.hint) from error


def _read(whole: Field) -> Policy:
    fields = whole.fields(_FIELDS)
    maintainers = [_maintainer(item) for item in fields["maintainers"].items()]
    workers = [_worker(item) for item in fields["workers"].items()]
    _refuse_repeated(fields["maintainers"].items(), maintainers)
    _refuse_repeated(fields["workers"].items(), workers)
    return Policy(
        tuple(maintainers),
        tuple(workers),
        _list(fields["signatures"], _signature),
        fields["attestations"].number(1, _MOST_ATTESTATIONS) or 1,
        _list(fields["build-arguments"], _glob),
        _list(fields["frontends"], _image_glob),
        _list(fields["cosign-keys"], _pem),
    )


def _maintainer(item: Field) -> Maintainer:
    fields = item.fields(("name", "key", "may", "release", "until"))
    may, release = _list(fields["may"], _image_glob), fields["release"].boolean()
    if not may:
        raise fields["may"].wrong("must name what they may order", hint="such as docker.io/linuxkit/*")
    return Maintainer(_name(fields), _key(fields, read_public_key), may, release, _until(fields["until"]))


def _worker(item: Field) -> WorkerKey:
    fields = item.fields(("name", "key", "arches", "until"))
    arches = _list(fields["arches"], _arch)
    if not arches:
        raise fields["arches"].wrong("must name an architecture", hint=f"one of {', '.join(ARCHES)}")
    return WorkerKey(_name(fields), _key(fields, read_worker_key), arches, _until(fields["until"]))


def _refuse_repeated(items: Iterable[Field], entries: Iterable[Maintainer | WorkerKey]) -> None:
    """A key has one entry. A name may have further ones that have ended: those of its earlier keys."""
    lines: dict[str, int] = {}
    for item, entry in zip(items, entries, strict=True):
        once = {"key": f"key {entry.key}"} | ({"name": f"name {entry.name}"} if entry.until is None else {})
        for field, value in once.items():
            if value in lines:
                hint = "give the earlier key an `until`" if field == "name" else None
                what = f"is given twice, first in line {lines[value]}"
                raise item.entries()[field].wrong(what, hint=hint)
            lines[value] = item.line


def _name(fields: dict[str, Field]) -> str:
    text = fields["name"].text()
    if not _NAME.fullmatch(text):
        raise fields["name"].wrong(f"{text!r} must be letters, digits and . _ @ + - only, at most 100")
    return text


def _key(fields: dict[str, Field], read: Callable[[str], str]) -> str:
    try:
        return read(fields["key"].text())
    except ValueError as error:
        raise fields["key"].wrong(str(error)) from None


def read_worker_key(text: str) -> str:
    """A worker's public key, base64 of its DER SubjectPublicKeyInfo.

    Raises:
        ValueError: it is not the key of an ECDSA P-256 pair.
    """
    return text if is_usual_key(text) else _read_key(text)


def _read_key(text: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - 45 ms that most commands do without
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    try:
        der = base64.b64decode(text, validate=True)
        key = load_der_public_key(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise ValueError("must be the base64 of a public key (DER SubjectPublicKeyInfo)") from None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return worker_key_text(key)
    raise ValueError("must be an ECDSA key on the curve P-256")


def worker_key_text(key: Any) -> str:
    """A public key of `cryptography` as a policy writes a worker's: each key has one spelling."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - see above

    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def _until(field: Field) -> float | None:
    if not field.written:
        return None
    try:
        return read_moment(field.text())
    except ValueError as error:
        raise field.wrong(str(error)) from None


def read_moment(text: str) -> float:
    """A time as Unix seconds; without a zone it is UTC, and a day begins at midnight.

    Raises:
        ValueError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-11-30T09:24:04Z") from None


def _list(field: Field, read: Callable[[Field], str]) -> tuple[str, ...]:
    found: list[str] = []
    for item in field.items():
        value = read(item)
        if value in found:
            raise item.wrong(f"{value.splitlines()[0]} is given twice")
        found.append(value)
    return tuple(found)


def _signature(item: Field) -> str:
    return _one_of(item, SIGNATURES)


def _arch(item: Field) -> str:
    return _one_of(item, ARCHES)


def _one_of(item: Field, known: tuple[str, ...]) -> str:
    text = item.text()
    if text not in known:
        raise item.wrong(f"{text!r} is unknown", hint=f"one of {', '.join(known)}")
    return text


def _glob(item: Field) -> str:
    text = item.text()
    if not _GLOB.fullmatch(text) or len(re.findall(r"\*+|\?", text)) > _MOST_WILDCARDS:
        raise item.wrong(f"{text!r} is no name or glob of one", hint="wildcards are *, ** and ?")
    return text


def _image_glob(item: Field) -> str:
    text = _glob(item)
    host = text.partition("/")[0]
    if not is_host(host) and "*" not in host and "?" not in host:
        raise item.wrong(f"{text} does not begin with a registry", hint=f"write docker.io/{text}")
    return text


def _pem(item: Field) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    text = item.text().strip() + "\n"
    try:
        load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise item.wrong("must be a public key in PEM, as in cosign.pub") from None
    return text
