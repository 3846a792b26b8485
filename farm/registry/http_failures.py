"""What it means that a registry cannot be reached, refuses a request, or is not a registry at all."""

from __future__ import annotations

import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import DecodeError, HTTPError, LocationValueError, ResponseError

from farm.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
    RegistryUntrustedError,
)
from farm.model.strict_json import json_object, list_of
from farm.registry.http_exchange import split
from farm.system.certificates import distrust

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from farm.registry.http_exchange import Peer, Response

_PERMANENT = (ResponseError, LocationValueError, DecodeError)
"""Failures that a retry does not change: too many redirects, a malformed URL or body."""
_WEB_PAGES = ("text/html", "application/xhtml+xml")
_NOT_YET_THERE = {"MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}
"""What is said to a manifest whose parts are missing, or have not reached every replica of the registry."""
TOO_LARGE = "a proxy in front of the registry limits the size of requests: nginx by client_max_body_size"
"""What to do about 413."""
_SETTLING = 2.0
"""Seconds after which such a manifest is sent again."""


@contextmanager
def reached(peer: Peer) -> Iterator[None]:
    """Report a failed connection as the error of this peer, retryable unless a retry cannot change it."""
    try:
        yield
    except HTTPError as error:
        raise _unreachable(peer, error) from error


def _unreachable(peer: Peer, error: HTTPError) -> RegistryError:
    if reason := distrust(error):
        return RegistryUntrustedError(
            f"the certificate of {peer} is not trusted: {reason}",
            hint="name the CA that issued it with registry-ca, or keep it in registry-certs as for docker",
        )
    kind = RegistryError if isinstance(error, _PERMANENT) else RegistryUnavailableError
    hint = "this machine must reach it, too" if peer.host else "is it up, and is its name right?"
    return kind(f"{peer} cannot be reached: {_reason(error)}", hint=hint)


def _reason(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps it in the representations of its own objects."""
    wrapped = (arg for arg in reversed(error.args) if isinstance(arg, Exception))
    cause = next(wrapped, None) or error.__cause__
    return _reason(cause) if cause else str(error) or type(error).__name__


def check_status(method: str, response: Response, missing: Container[int] = ()) -> None:
    """Raise the error that a status means, or a web page in place of an answer; `missing` are no errors.

    201 and 202, and the "true" of /v2/, may have any type: those of Quay are text/html.
    """
    if response.status in missing:
        return
    path = split(response.url).path or "/"
    asked = f"{response.peer} answered {method} {path} with"
    if not response.ok:
        raise _failure(method, asked, response)
    if response.status == HTTPStatus.OK and not path.endswith("/v2/") and response.media_type in _WEB_PAGES:
        raise web_page(asked, response)


def web_page(asked: str, response: Response) -> RegistryError:
    """The error for a web page in place of an answer."""
    return RegistryError(
        f"{asked} a web page ({response.media_type})",
        hint="is it a registry, and does no login page or proxy answer in its place?",
    )


def _failure(method: str, asked: str, response: Response) -> RegistryError:
    status, errors, peer = response.status, _errors(response.body), response.peer
    ending = f": {words}" if (words := _words(errors)) else ""
    text = f"{asked} {status}{ending}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) and not peer.is_elsewhere:
        return RegistryDeniedError(
            f"{peer} refuses access{ending}",
            hint=f"docker login {peer.registry}, with an account that may do this",
        )
    codes = {str(error.get("code")) for error in errors}
    if method == "PUT" and codes & _NOT_YET_THERE:
        late = RegistryUnavailableError(text, hint="is a clean-up running? push again")
        late.pause = _SETTLING
        return late
    # Registry 2.8 answers 500 while a tag is being overwritten.
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
        return RegistryError(text, hint=_remedy(method, status, codes))
    pause = requested_pause(response.headers.get("Retry-After", ""))
    busy = RegistryUnavailableError(text, hint=f"try again {f'in {pause:.0f} s' if pause else 'later'}")
    busy.pause = pause
    return busy


def _remedy(method: str, status: int, codes: set[str]) -> str | None:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TOO_LARGE
    if method in ("POST", "PUT") and "NAME_UNKNOWN" in codes:
        return "create the repository first; this registry does not do so by itself"
    return None


def requested_pause(retry_after: str) -> float | None:
    """The seconds of a Retry-After header, which are a number or end at a date; None without a valid one.

    https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after
    """
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - only for a registry that is overloaded

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _errors(body: bytes) -> list[dict[str, Any]]:
    """https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes."""
    try:
        return [error for error in list_of(json_object(body)["errors"]) if isinstance(error, dict)]
    except (ValueError, KeyError):
        return []


def _words(errors: list[dict[str, Any]]) -> str:
    """At most 300 characters of what a registry says."""
    said = (error.get("message") or error.get("code") for error in errors)
    return " ".join("; ".join(text for text in said if isinstance(text, str)).split())[:300]
