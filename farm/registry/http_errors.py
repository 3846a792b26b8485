"""Errors of a registry: from status codes and broken connections to one sentence."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    InvalidChunkLength,
    PoolError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as HTTPTimeoutError,
)

from farm.errors import FarmError, RegistryDeniedError, RegistryError, RegistryUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.registry.response import Response

CONNECTION_ERRORS = (
    HTTPTimeoutError,  # a refused connection and an unknown host are among them
    IncompleteRead,
    InvalidChunkLength,
    PoolError,
    ProtocolError,
    ProxyError,
    SSLError,
)
"""What urllib3 raises where another attempt may succeed."""


@contextmanager
def translate_http_errors(registry: str) -> Iterator[None]:
    """Report a failed connection as an unavailable registry.

    Raises:
        RegistryUnavailableError: there was no connection, or it broke.
    """
    try:
        yield
    except HTTPError as error:
        raise RegistryUnavailableError(
            f"the registry {registry} cannot be reached: {_reason(error)}",
            hint="is it up, and is its name right?",
        ) from error


def _reason(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps it in the representations of its own objects."""
    wrapped = (arg for arg in reversed(error.args) if isinstance(arg, Exception))
    cause = next(wrapped, None) or error.__cause__
    return _reason(cause) if cause else str(error) or type(error).__name__


def is_busy(status: int) -> bool:
    """Whether a status means: try again later. Registry 2.8 answers 500 while a tag is being overwritten."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


def failure(registry: str, method: str, response: Response) -> FarmError:
    """The error that a status means, with the registry's message, if it sent one."""
    what = f"the registry {registry} answered {method} {urlsplit(response.url).path} with {response.status}"
    words = _words(response.body)
    text = f"{what}: {words}" if words else what
    if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return RegistryDeniedError(
            f"the registry {registry} refuses access{': ' + words if words else ''}",
            hint=f"docker login {registry}, with an account that may do this",
        )
    if is_busy(response.status):
        return RegistryUnavailableError(text, hint="try again later")
    return RegistryError(text)


def _words(body: bytes) -> str:
    """The messages of an error response, at most 300 characters.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
    """
    try:
        errors = json.loads(body)["errors"]
        words = "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return " ".join(words.split())[:300]
