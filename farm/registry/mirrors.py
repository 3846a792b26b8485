"""Mirrors: registries to read from first."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from farm.errors import RegistryError, RegistryUnavailableError, RegistryUntrustedError
from farm.registry.http_exchange import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farm.registry.http_exchange import Response
    from farm.registry.transport import Request


log = logging.getLogger(__name__)


class Mirrors:
    """The mirrors of a client: registry, or "*" for all others, to a URL; safe to share between threads."""

    def __init__(self, urls: Iterable[tuple[str, str]], pause: float) -> None:
        self._urls = dict(urls)
        self._pause = pause
        """Seconds for which a mirror that did not answer is not asked."""
        self._asked_again: dict[str, float] = {}
        """URLs of mirrors that did not answer, and when, by the monotonic clock, the pause ends."""

    def first(self, request: Request, send: Callable[[Request], Response]) -> Response:
        """The response of a mirror that has what is asked for, else of the registry."""
        base = self._urls.get(request.registry) or self._urls.get("*")
        if base and self._asked_again.get(base, 0) <= time.monotonic():
            try:
                response = send(request._replace(registry=authority(base), base=base))
            except (RegistryUnavailableError, RegistryUntrustedError) as error:
                log.warning("the mirror %s is not asked for %.0f s: %s", authority(base), self._pause, error)
                self._asked_again[base] = time.monotonic() + self._pause
            except RegistryError:
                pass  # The mirror refused only this request; the registry may answer it.
            else:
                if response.ok:
                    return response
        return send(request)
