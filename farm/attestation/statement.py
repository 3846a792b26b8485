"""What a worker states about an image: an in-toto statement with SLSA provenance.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote

from farm.errors import AttestationError, InputError
from farm.model import ARCHES, DIGEST, Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:linuxkit-farm:package:v1"
"""What the parameters mean; other fields in the predicate need another one, which older farms refuse."""
LARGEST_STATEMENT = 180 << 10
"""Bytes: in base64, with signatures, it is within what `farm.attestation.envelope` reads."""
_WORKER = "urn:linuxkit-farm:worker:"
_DEEPEST = 32
_TEXT = re.compile(r"[\x20-\x7e]{1,256}")
# https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md
_MATERIAL_DIGEST = re.compile(
    r"(?:sha256|dirHash):[0-9a-f]{64}|sha1:[0-9a-f]{40}|sha512:[0-9a-f]{128}"
    r"|git(?:Commit|Tree):(?:[0-9a-f]{40}|[0-9a-f]{64})"
)
_URI = re.compile(r"[\x21-\x7e]{1,4096}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_LATEST = 253402300799.0
"""The end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Of what an image was made, by whom; AttestationError for values that no worker states."""

    image: str
    """Digest of the image's manifest as pushed, or of its index where BuildKit's attestations are with it."""
    name: str
    """HOST/REPOSITORY."""
    tag: str
    """The tag of the package's index."""
    arch: str
    tree: str
    """The hash of what was built."""
    recipe: str
    """Digest over everything in the order that decides the bytes."""
    order: str
    """Digest of the order."""
    run: str
    parameters: Mapping[str, Any]
    """The package's part of the order for this architecture, as JSON."""
    materials: tuple[tuple[str, str], ...]
    """URI and digest (sha256:HEX, gitCommit:HEX) of the commit, the build context and each base image."""
    builder: str
    """The worker's name."""
    started: float
    """Unix time, to the microsecond."""
    finished: float
    fingerprint: str = ""
    """Digest of the worker's public key; "" if the statement does not say it."""

    def __post_init__(self) -> None:
        digests = (self.image, self.recipe, self.order, *([self.fingerprint] if self.fingerprint else []))
        texts = (self.tree, self.run, self.builder)
        times = (self.started, self.finished)
        if not all(_is(DIGEST, digest) for digest in digests):
            _refuse("a digest is not sha256 in hexadecimal")
        if not _is_name(self.name, self.tag) or self.arch not in ARCHES:
            _refuse("it names no image of an architecture")
        if not all(_is(_TEXT, text) for text in texts):
            _refuse("tree, run or worker is not a line of text")
        if not all(_is(_URI, uri) and _is(_MATERIAL_DIGEST, digest) for uri, digest in self.materials):
            _refuse("a material is not a URI with a digest")
        if not all(type(time) in (int, float) and 0 <= time <= _LATEST for time in times):
            _refuse("a time is out of range")
        if not isinstance(self.parameters, dict) or not _is_flat(self.parameters, _DEEPEST):
            _refuse("the parameters are not an object, or nested too deeply")


def to_statement(provenance: Provenance) -> bytes:
    """The statement as it is signed: the same provenance gives the same bytes."""
    made = provenance
    data = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": made.name, "digest": _digest_set(made.image)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": made.parameters,
                "internalParameters": {
                    "tag": made.tag,
                    "arch": made.arch,
                    "tree": made.tree,
                    "recipe": made.recipe,
                    "order": made.order,
                    "run": made.run,
                },
                "resolvedDependencies": [
                    {"uri": uri, "digest": _digest_set(digest)} for uri, digest in made.materials
                ],
            },
            "runDetails": {
                "builder": {"id": _builder_id(made)},
                "metadata": {
                    "invocationId": made.run,
                    "startedOn": _rfc3339(made.started),
                    "finishedOn": _rfc3339(made.finished),
                },
            },
        },
    }
    try:
        body = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise AttestationError(f"the parameters of a build are not JSON: {error}") from error
    if len(body) > LARGEST_STATEMENT:
        _refuse(f"it has more than {LARGEST_STATEMENT >> 10} KiB")
    return body


def from_statement(body: bytes) -> Provenance:
    """The inverse of `to_statement`.

    Raises:
        AttestationError: the bytes are not exactly what `to_statement` makes of some provenance.
    """
    if len(body) > LARGEST_STATEMENT:
        _refuse(f"it has more than {LARGEST_STATEMENT >> 10} KiB")
    try:
        provenance = _read(json.loads(body))
        same = to_statement(provenance) == body
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AttestationError(
            "the statement about an image is malformed: it is not one of this farm's kind"
        ) from error
    if not same:
        _refuse("it has other fields, or another form, than this farm writes")
    return provenance


def _read(data: Any) -> Provenance:
    (subject,) = data["subject"]
    build, details = data["predicate"]["buildDefinition"], data["predicate"]["runDetails"]
    internal, metadata = build["internalParameters"], details["metadata"]
    builder, fingerprint = _builder(details["builder"]["id"])
    return Provenance(
        image=_digest(subject["digest"]),
        name=subject["name"],
        tag=internal["tag"],
        arch=internal["arch"],
        tree=internal["tree"],
        recipe=internal["recipe"],
        order=internal["order"],
        run=internal["run"],
        parameters=build["externalParameters"],
        materials=tuple((one["uri"], _digest(one["digest"])) for one in build["resolvedDependencies"]),
        builder=builder,
        started=_unix_time(metadata["startedOn"]),
        finished=_unix_time(metadata["finishedOn"]),
        fingerprint=fingerprint,
    )


def _refuse(why: str) -> NoReturn:
    raise AttestationError(f"the statement about an image is malformed: {why}")


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_name(name: Any, tag: Any) -> bool:
    if not (isinstance(name, str) and isinstance(tag, str)):
        return False
    try:
        reference = Reference.parse(f"{name}:{tag}")
    except InputError:
        return False
    return (reference.name, reference.tag, reference.digest) == (name, tag, None)


def _is_flat(value: Any, levels: int) -> bool:
    """Whether JSON is nested no deeper than this."""
    if not isinstance(value, dict | list | tuple):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_flat(one, levels - 1) for one in inner)


def _digest_set(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}


def _digest(digests: Any) -> str:
    ((algorithm, value),) = digests.items()
    return f"{algorithm}:{value}"


def _builder_id(made: Provenance) -> str:
    """The worker as a URN, its key behind the last `#`: https://slsa.dev/spec/v1.0/provenance#builder.id."""
    key = f"#{made.fingerprint}" if made.fingerprint else ""
    return f"{_WORKER}{quote(made.builder, safe='@')}{key}"


def _builder(identity: str) -> tuple[str, str]:
    name, _, fingerprint = identity.removeprefix(_WORKER).partition("#")
    return unquote(name, errors="strict"), fingerprint


def _rfc3339(time: float) -> str:
    moment = datetime.fromtimestamp(time, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _unix_time(text: Any) -> float:
    if not _is(_TIME, text):
        raise ValueError("not a time")
    return datetime.fromisoformat(text).timestamp()
