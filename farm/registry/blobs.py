"""Blobs of any size from and to a registry: in pieces, checked by their digest, begun again when cut off."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urljoin, urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from farm.errors import FarmError, RegistryError
from farm.registry.retry import ATTEMPTS, FIRST_PAUSE, JITTER, LONGEST_PAUSE
from farm.registry.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry
    from farm.registry.response import Response

AT_ONCE = 4
"""Blobs that are under way at once: five of 100 MB each took 1.1 s so, and 1.6 s one after another."""
_NOT_FOUND = (HTTPStatus.NOT_FOUND,)
_PLAIN = {"Accept-Encoding": "identity"}
"""A blob is wanted as it is stored, whatever a proxy could make of it."""


class Sink(Protocol):
    """Where a blob goes; it sums up what was written."""

    size: int

    @property
    def digest(self) -> str:
        """sha256:... of what was written."""

    def write(self, data: bytes) -> None:
        """Take the next piece."""

    def restart(self) -> None:
        """Forget what was written."""


class Arrival(StrEnum):
    """How a blob came to be in the registry."""

    STOOD = "stood"
    MOUNTED = "mounted"
    SENT = "sent"


def pull_blob(registry: Registry, reference: Reference, blob: Descriptor, into: Sink) -> None:
    """Fetch a blob of a repository; where the connection breaks, the rest of it is asked for.

    Raises:
        RegistryError: it cannot be had, or is not what its digest names.
    """
    progress = [0]

    def stuck(state: RetryCallState) -> bool:
        """Whether the last attempts brought nothing."""
        if into.size > progress[0]:
            progress[0] = into.size
            state.attempt_number = 1
        return state.attempt_number >= ATTEMPTS

    _patiently(stuck)(_fetch_rest, registry, reference, blob, into)
    if (into.size, into.digest) != (blob.size, blob.digest):
        raise RegistryError(
            f"{reference.familiar}: the registry sent other bytes than {blob.digest}",
            hint="its storage or a proxy before it is damaged",
        )


def _fetch_rest(registry: Registry, reference: Reference, blob: Descriptor, into: Sink) -> None:
    rest = {"Range": f"bytes={into.size}-"} if into.size else {}
    request = Request(
        "GET",
        reference.registry,
        f"/v2/{reference.repository}/blobs/{blob.digest}",
        f"repository:{reference.repository}:pull",
        headers=_PLAIN | rest,
    )
    if into.size >= blob.size:
        return
    with registry.opened(request) as response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            into.restart()
        for piece in response.pieces():
            into.write(piece)
            if into.size > blob.size:
                return


def pieces_of(registry: Registry, reference: Reference, blob: Descriptor) -> Iterator[bytes]:
    """The bytes of a blob of a repository as they come, unchecked: for a reader that checks their digest.

    Raises:
        RegistryError: it cannot be had.
    """
    path = f"/v2/{reference.repository}/blobs/{blob.digest}"
    scope = f"repository:{reference.repository}:pull"
    with registry.opened(Request("GET", reference.registry, path, scope, headers=_PLAIN)) as response:
        yield from response.pieces()


def push_blob(
    registry: Registry,
    reference: Reference,
    blob: Descriptor,
    source: Callable[[], Iterator[bytes]],
    *,
    mounts: Callable[[], Sequence[str]] = tuple,
) -> Arrival:
    """Make a repository hold a blob; done again after any failure, it sends only what is not there.

    Args:
        registry: the client.
        reference: the repository.
        blob: its digest and size.
        source: begins to give its bytes; called anew with each attempt.
        mounts: names repositories of the same registry that may hold it; asked only where it is missing.

    Raises:
        RegistryError: the registry refuses it, or what was sent is not what the digest names.
    """
    return _patiently(stop_after_attempt(ATTEMPTS))(_bring, registry, reference, blob, source, mounts)


def _bring(
    registry: Registry,
    reference: Reference,
    blob: Descriptor,
    source: Callable[[], Iterator[bytes]],
    mounts: Callable[[], Sequence[str]],
) -> Arrival:
    base, scope = f"/v2/{reference.repository}/blobs", f"repository:{reference.repository}:pull,push"
    head = Request("HEAD", reference.registry, f"{base}/{blob.digest}", scope, missing=_NOT_FOUND)
    if registry.transport.send(head).ok:
        return Arrival.STOOD
    place = ""
    for repository in mounts():
        query = f"?mount={quote(blob.digest)}&from={quote(repository)}"
        both = f"{scope} repository:{repository}:pull"
        answer = registry.transport.send(Request("POST", reference.registry, f"{base}/uploads/{query}", both))
        if answer.status == HTTPStatus.CREATED:
            return Arrival.MOUNTED
        place = _place(answer, reference)
    if not place:
        begin = Request("POST", reference.registry, f"{base}/uploads/", scope)
        place = _place(registry.transport.send(begin), reference)
    _send(registry, Request("PUT", reference.registry, place, scope, content=source), blob)
    return Arrival.SENT


def _place(answer: Response, reference: Reference) -> str:
    """Where an upload goes, as a whole URL."""
    if "Location" not in answer.headers:
        raise RegistryError(f"the registry {reference.registry} takes no uploads: it names no place for one")
    return urljoin(answer.url, answer.headers["Location"])


def _send(registry: Registry, request: Request, blob: Descriptor) -> None:
    # https://github.com/opencontainers/distribution-spec/blob/main/spec.md#post-then-put
    separator = "&" if urlsplit(request.path).query else "?"
    url = f"{request.path}{separator}digest={quote(blob.digest)}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
    put = Request("PUT", request.registry, url, request.scope, headers, request.content)
    with registry.transport.opened(put):
        pass


def _patiently(stop: Callable[[RetryCallState], bool]) -> Retrying:
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, FarmError) and error.retryable),
        wait=wait_exponential_jitter(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, jitter=JITTER),
        stop=stop,
        reraise=True,
    )
