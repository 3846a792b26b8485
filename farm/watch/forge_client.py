"""Requests to the API of a forge: JSON over HTTP, with time-outs, retries and a limit of size."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from farm.errors import ForgeDeniedError, ForgeError, ForgeUnavailableError
from farm.registry.connections import proxy_for
from farm.syntax.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = 100
_MOST_PAGES = 20
_LARGEST = 32 << 20
"""Bytes of an answer; a page of GitHub's pull requests has about 2 MiB."""
_TIMEOUT, _WHOLE = 15.0, 60.0
"""Seconds without a byte, and for a whole answer."""
_PIECE = 1 << 16
_AT_ONCE = 8
"""Connections that are kept: one for each thread that asks."""
_LONGEST_PAUSE = 10
"""Seconds that a forge may ask the farm to wait; after more, it is asked when the watch looks again."""
_RETRIES = urllib3.Retry(
    2,
    backoff_factor=0.5,
    backoff_jitter=0.5,
    allowed_methods=None,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
    retry_after_max=_LONGEST_PAUSE,
)
_DENIED, _MISSING, _BUSY, _BROKEN = (401, 403), 404, 429, 500


class ForgeClient:
    """The API below one URL; safe to share between threads."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self._headers = {"Accept": "application/json", "User-Agent": "linuxkit-farm", **headers}
        proxy = proxy_for(url)
        self._pool = (
            urllib3.ProxyManager(proxy, maxsize=_AT_ONCE) if proxy else urllib3.PoolManager(maxsize=_AT_ONCE)
        )

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON of a path."""
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path)

    def pages(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """The objects of a list that the forge gives in pages; at most 2,000."""
        for page in range(1, _MOST_PAGES + 1):
            found = self.get(path, per_page=PAGE, limit=PAGE, page=page, **query)
            if not isinstance(found, list):
                raise ForgeError(f"{self.url}{path}: the answer is not a list")
            yield from (one for one in found if isinstance(one, dict))
            if not found:
                return

    def post(self, path: str, data: Mapping[str, str]) -> None:
        """Send an object."""
        self._request("POST", path, json.dumps(data).encode())

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        where = f"{self.url}{path}"
        headers = {**self._headers, **({"Content-Type": "application/json"} if body else {})}
        try:
            with self._pool.request(
                method,
                where,
                body=body,
                headers=headers,
                timeout=_TIMEOUT,
                retries=_RETRIES,
                redirect=False,
                preload_content=False,
            ) as response:
                content, status = _read(response), response.status
        except HTTPError as error:
            raise ForgeUnavailableError(
                f"{self.url} does not answer: {error}", hint="is the address right, and the forge up?"
            ) from error
        _check(where.partition("?")[0], status, content)
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise ForgeError(f"{where}: the answer is not JSON") from error


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, as far as it may be long and may take."""
    content, until = bytearray(), time.monotonic() + _WHOLE
    while piece := response.read1(_PIECE):
        content += piece
        if len(content) > _LARGEST or time.monotonic() > until:
            raise ForgeUnavailableError("a forge sends too much, or too slowly")
    return bytes(content)


def _check(where: str, status: int, content: bytes) -> None:
    """Raise for an answer that is none."""
    said = one_line(content[:200].decode(errors="replace"))
    # GitHub's limit of requests is a 403, too.
    if status in _DENIED and b"rate limit" not in content:
        raise ForgeDeniedError(
            f"{where}: the forge refused the token: {status} {said}",
            hint="set forge-token to one that may read pull requests and write commit statuses",
        )
    if status in (*_DENIED, _BUSY) or status >= _BROKEN:
        raise ForgeUnavailableError(f"{where}: the forge cannot answer now: {status} {said}")
    if status == _MISSING:
        raise ForgeError(f"{where}: the forge does not have it", hint="is the project right, and the token?")
    if not 200 <= status < 300:  # noqa: PLR2004 - the class of HTTP's successes
        raise ForgeError(f"{where}: {status} {said}")
