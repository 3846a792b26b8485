"""The lists of what is attached to an image: the registry's own, or one that its clients keep under a tag.

The tag is made from the image's digest, and holds an index. Whoever may push decides what is listed: a list
is only a hint, read within limits, and malformed entries are left out.
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema
"""

from __future__ import annotations

import json
import random
import re
import time
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from farm.errors import RegistryDeniedError, RegistryError, RegistryUnavailableError
from farm.registry.oci import OCI_INDEX, read_descriptor, reading
from farm.registry.transport import Request, retried
from farm.system.at_once import at_once
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry
    from farm.registry.http_exchange import Response

MOST_FOUND = 32
"""Artifacts of one type that are read for one image."""
_MOST_LISTED = 1000
"""Entries that are kept under the tag; registries limit an index to 4 MiB."""
_MOST_PAGES = 8
_ROUNDS = 10
_LONGEST_PAUSE = 2.0
_ASKED_AGAIN = 600.0
"""Seconds after which a registry is asked again whether it has the API: it may have been upgraded."""
_NO_API = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_NEXT = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')
_without_api: dict[str, float] = {}
"""Registries that had no such API, and until when, by the monotonic clock, they are not asked for it."""


class Attached(NamedTuple):
    """Which artifacts are meant: those of a type that belong to one image."""

    registry: Registry
    repository: Reference
    digest: str
    """Of the image."""
    artifact_type: str

    @property
    def tag(self) -> Reference:
        """The tag of the list."""
        return self.repository.with_tag(self.digest.replace(":", "-"))


def entries_of(attached: Attached) -> Iterator[Iterator[Descriptor]]:
    """The entries of each list: the registry's own, if it has the API, then those under the tag."""
    if _without_api.get(attached.repository.registry, 0.0) <= time.monotonic():
        yield _of_type(attached, _by_api(attached))
    yield _of_type(attached, _by_tag(attached))


def add_entry(attached: Attached, made: Descriptor) -> None:
    """Put an artifact in front of the list under the tag, where it is found, and keep those of others.

    A registry has no compare-and-swap: a client that has read the list before this one was put overwrites it.
    It does so about as soon as this client did, so the list is read back only after that time.

    Raises:
        RegistryUnavailableError: others kept overwriting the list.
    """
    entry = made.to_json() | {"artifactType": attached.artifact_type}
    for _ in range(_ROUNDS):
        began = time.monotonic()
        others = list(islice(_by_tag(attached), _MOST_LISTED - 1))
        if any(other["digest"] == made.digest for other in others[:MOST_FOUND]):
            return
        _put(attached, entry, [other for other in others if other["digest"] != made.digest])
        took = time.monotonic() - began
        time.sleep(min(random.uniform(took, 1.5 * took), _LONGEST_PAUSE))  # noqa: S311 - no secret
    raise RegistryUnavailableError(
        f"{attached.tag.familiar}: other clients kept overwriting the list of attestations", hint="try again"
    )


def _put(attached: Attached, entry: dict[str, Any], others: list[dict[str, Any]]) -> None:
    """Put a list under the tag, without what was deleted: registries refuse an index with absent members."""
    registry = attached.registry

    def exists(other: dict[str, Any]) -> bool:
        return registry.head(attached.repository.with_digest(other["digest"])) is not None

    def put(registry: Registry) -> None:
        data = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry, *others]}
        registry.put_manifest(attached.tag, OCI_INDEX, json.dumps(data, separators=(",", ":")).encode())

    try:
        # A refusal that names absent members is repeated for seconds otherwise.
        put(registry.within(Deadline.after(0)) if others else registry)
    except RegistryError:
        if not others:
            raise
        are_there = at_once(exists, others)
        others = [other for other, is_there in zip(others, are_there, strict=True) if is_there]
        put(registry)


def is_nonsense(error: Exception) -> bool:
    """Whether the registry did answer, but with something that is not what was asked for."""
    return type(error) in (RegistryError, RecursionError)


def _by_tag(attached: Attached) -> Iterator[dict[str, Any]]:
    try:
        found = attached.registry.manifest(attached.tag)
    except (RegistryError, RecursionError) as error:
        if not is_nonsense(error):
            raise
        found = None
    yield from _entries(found.body if found else b"")


def _by_api(attached: Attached) -> Iterator[dict[str, Any]]:
    """The entries that the registry lists itself, page after page as needed; none without the API."""
    path = f"referrers/{attached.digest}?artifactType={quote(attached.artifact_type, safe='')}"
    request = Request.to(attached.repository, "GET", path)
    request = request._replace(headers={"Accept": OCI_INDEX}, missing=_NO_API)
    for _ in range(_MOST_PAGES):
        page = _page(attached.registry, request)
        if page is None:
            _without_api[attached.repository.registry] = time.monotonic() + _ASKED_AGAIN
            return
        yield from _entries(page.body)
        following = _following(page)
        if not following:
            return
        request = request._replace(path=following)


def _page(registry: Registry, request: Request) -> Response | None:
    """A page of a list; None if the registry does not know what is asked for, or refuses to say."""
    try:
        response = retried(lambda: registry.once(request), registry.deadline)
    except RegistryDeniedError:
        # Some refuse what they do not know. Whether the login may read is decided by the tag's look-up.
        return None
    except RegistryError as error:
        if not is_nonsense(error):
            raise
        return None
    return response if response.ok else None


def _following(page: Response) -> str:
    """The path of the next page, whatever host the answer names; "" if this page is the last."""
    link = _NEXT.search(page.headers.get("Link", ""))
    if not link:
        return ""
    try:
        parts = urlsplit(urljoin(page.url, link[1]))
    except ValueError:
        return ""
    is_list = parts.path.startswith("/v2/") and "/referrers/" in parts.path
    return f"{parts.path}?{parts.query}" if is_list else ""


def _entries(body: bytes) -> Iterator[dict[str, Any]]:
    """The descriptors in an index, as they are."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return
    listed = data.get("manifests") if isinstance(data, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        if _descriptor(entry):
            yield entry


def _descriptor(entry: Any) -> Descriptor | None:
    try:
        with reading("descriptor"):
            return read_descriptor(entry)
    except RegistryError:
        return None


def _of_type(attached: Attached, entries: Iterator[dict[str, Any]]) -> Iterator[Descriptor]:
    seen = set()
    for entry in entries:
        found = _descriptor(entry) if entry.get("artifactType") == attached.artifact_type else None
        if found and found.digest not in seen:
            seen.add(found.digest)
            yield found
