"""A build order: the one document that says all that a run does, and that its maintainer signs.

It names the part of each package by its digest, so that whoever needs one package reads the order and that
part. A part is the JSON of a `PackageWork`; its bytes are what the digest is of, and are never made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import InputError, NotUnderstoodError
from farm.model.digests import digest_of
from farm.model.reference import DIGEST
from farm.model.run import PackageWork, canonical
from farm.model.strict_json import json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.model.run import Run

VERSION = 1
"""The version of orders that this release writes, and the only one that it reads."""
MAX_ORDER, MAX_PART, MAX_SIGNATURE = 16 << 20, 1 << 20, 64 << 10
"""Bytes of an order, of a part and of a signature that are read."""
_FIELDS = {"version": int, "run": str, "created": float, "nonce": str, "submitter": str, "parts": dict}


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order as it is stored: the document's bytes and the signature, neither of them verified."""

    document: bytes
    signature: str
    """An armored SSH signature."""

    @property
    def digest(self) -> str:
        """The name of the order: sha256:HEX of the document."""
        return digest_of(self.document)


@dataclass(frozen=True, slots=True)
class Order:
    """What one run does, by the digest of each package's part."""

    run: str
    created: float
    """Unix time, seconds."""
    nonce: str
    submitter: str
    parts: Mapping[str, str]
    """Package to sha256:HEX of its part."""
    retry_of: str = ""

    def to_bytes(self) -> bytes:
        """The document."""
        fields = {
            "version": VERSION,
            "run": self.run,
            "created": self.created,
            "nonce": self.nonce,
            "submitter": self.submitter,
            "parts": dict(self.parts),
        }
        return canonical(fields | ({"retryOf": self.retry_of} if self.retry_of else {}))

    @staticmethod
    def from_bytes(document: bytes) -> Order:
        """Read a document.

        Raises:
            NotUnderstoodError: a newer farm has written it.
            InputError: it is not an order.
        """
        data = _read_json(document, MAX_ORDER, "the order")
        retry_of = data.pop("retryOf", "")
        if data.get("version") != VERSION:
            raise NotUnderstoodError(
                f"the order has version {str(data.get('version'))[:20]!r}, which this farm does not know",
                hint="upgrade the farm on this machine",
            )
        wrong = [name for name, kind in _FIELDS.items() if type(data.get(name)) is not kind]
        if wrong or data.keys() - _FIELDS or not isinstance(retry_of, str):
            raise InputError(f"the order is malformed: {', '.join(wrong) or 'unknown fields'}")
        parts = data["parts"]
        if not all(isinstance(digest, str) and DIGEST.fullmatch(digest) for digest in parts.values()):
            raise InputError("the order is malformed: parts")
        return Order(data["run"], data["created"], data["nonce"], data["submitter"], parts, retry_of)


class OrderedRun(NamedTuple):
    """A run with the order that says the same, as both are submitted."""

    run: Run
    order: SignedOrder
    parts: Mapping[str, bytes]
    """Package to its part of the order."""


def make_order(run: Run, nonce: str) -> tuple[Order, dict[str, bytes]]:
    """The order of a run, and the parts by package."""
    parts = {work.package: canonical(work.to_json()) for work in run.works}
    if len(parts) != len(run.works):
        raise InputError("a package is twice in one run", hint="name each once")
    digests = {package: digest_of(part) for package, part in parts.items()}
    return Order(run.id, run.created, nonce, run.submitter, digests, run.retry_of), parts


def read_part(order: Order, package: str, part: bytes) -> PackageWork:
    """The work of one package, from the part that the order names.

    Raises:
        NotUnderstoodError: a newer farm has written it.
        InputError: it is another part, or malformed.
    """
    if digest_of(part) != order.parts.get(package):
        raise InputError(f"{package}: the stored work is not what the order of {order.run} names")
    data = _read_json(part, MAX_PART, f"{package}: the work")
    try:
        work = PackageWork.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{package}: the work is malformed: {error}") from error
    wanted = (order.run, package, work.reference)
    if work.package != package or any((job.run, job.package, job.reference) != wanted for job in work.jobs):
        raise InputError(f"{package}: the work is that of another run or package")
    if work.copies:
        signs = any(copy.sign for copy in work.copies)
        if work.sign != signs or work.reference not in {copy.target for copy in work.copies}:
            raise InputError(f"{package}: the work contradicts itself")
    return work


def _read_json(text: bytes, most: int, what: str) -> dict[str, Any]:
    if len(text) > most:
        raise InputError(f"{what} has {len(text)} bytes, more than {most}")
    try:
        return json_object(text)
    except ValueError as error:
        raise InputError(f"{what} is not a JSON object: {error}") from error
