"""Faults of an HTTP service, each as what happens to one request."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.proxy.http import Act, Body, Exchange

_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS"}
"""https://distribution.github.io/distribution/spec/api/#errors-2"""


def answer(status: int, *, retry_after: int | None = None, says: str = "made to fail") -> Act:
    """A status with an error in the format of a registry."""
    body = json.dumps({"errors": [{"code": _CODES.get(status, "UNKNOWN"), "message": says}]}).encode()
    headers = {"Content-Type": "application/json"}
    more = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda exchange: exchange.answer(status, headers | more, body)


def silence() -> Act:
    """No answer, ever."""
    return lambda exchange: exchange.stay_silent()


def reset(*, after: int = 0) -> Act:
    """A reset once `after` bytes of the request's body have reached the service."""
    return lambda exchange: exchange.pass_on(body=lambda pieces: _first(pieces, after, exchange.reset))


def reset_answer(*, after: int = 0) -> Act:
    """The service acts, and the connection is reset after `after` bytes of its answer's body."""
    return lambda exchange: exchange.pass_on(back=lambda pieces: _first(pieces, after, exchange.reset))


def lost_answer() -> Act:
    """The service acts, and the client receives a reset in place of its answer."""

    def act(exchange: Exchange) -> Awaitable[None]:
        def lose(head: h11.Response) -> h11.Response:
            exchange.reset()
            return head

        return exchange.pass_on(head=lose)

    return act


def truncated(*, keep: int, admits: bool = False) -> Act:
    """Only `keep` bytes of an answer's body arrive; its length says so only if it `admits` it."""
    if not admits:
        return lambda exchange: exchange.pass_on(back=lambda pieces: _first(pieces, keep, exchange.close))
    return lambda exchange: exchange.pass_on(
        head=lambda head: _with_header(head, "Content-Length", str(keep)),
        back=lambda pieces: _first(pieces, keep),
    )


def changed_header(name: str, value: str | None) -> Act:
    """The answer has another value of a header; with None it lacks the header."""
    return lambda exchange: exchange.pass_on(head=lambda head: _with_header(head, name, value))


def hidden() -> Act:
    """What does not exist is refused, and what exists is answered."""

    def refuse(head: h11.Response) -> h11.Response:
        return h11.Response(status_code=403, headers=head.headers) if head.status_code == 404 else head

    return lambda exchange: exchange.pass_on(head=refuse)


def web_page() -> Act:
    """A login page in place of the answer."""
    return lambda exchange: exchange.answer(
        200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in"
    )


def other_digest() -> Act:
    """The answer names another digest than that of its bytes."""
    return changed_header("Docker-Content-Digest", f"sha256:{'0' * 64}")


def other_bytes() -> Act:
    """The answer's last bytes are reversed; its length and headers stay the same."""

    async def reverse(pieces: Body) -> Body:
        whole = b"".join([piece async for piece in pieces])
        yield whole[:-8] + whole[-8:][::-1]

    return lambda exchange: exchange.pass_on(back=reverse)


def delayed(seconds: float) -> Act:
    """The request is passed on after a delay."""
    return _after(lambda: asyncio.sleep(seconds))


def preceded_by(call: Callable[[], object]) -> Act:
    """Something else happens first; then the request is passed on."""
    return _after(lambda: asyncio.to_thread(call))


def _after(wait: Callable[[], Awaitable[object]]) -> Act:
    async def act(exchange: Exchange) -> None:
        await wait()
        await exchange.pass_on()

    return act


def _with_header(head: h11.Response, name: str, value: str | None) -> h11.Response:
    headers = [pair for pair in head.headers if pair[0] != name.lower().encode()]
    if value is not None:
        headers.append((name.encode(), value.encode()))
    return h11.Response(status_code=head.status_code, headers=headers)


async def _first(pieces: Body, size: int, then: Callable[[], None] = lambda: None) -> Body:
    """The first bytes of a body; the rest is read and lost, unless `then` breaks the connection."""
    left = size
    while left > 0 and (piece := await anext(pieces, b"")):
        yield piece[:left]
        left -= len(piece)
    then()
    async for _ in pieces:
        pass
