"""kombu's transport for Redis, as the farm uses it: no message in Redis can stop a worker.

kombu pops a message of any size, then believes it: an exception while it is decoded ends the worker, and what
was not acknowledged is delivered again each hour. Here a message is read in bounded memory and checked by
`admit` before kombu sees it; what is rejected is gone from Redis, with one warning.

https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.redis.html
"""

from __future__ import annotations

import functools
import logging
import reprlib
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from kombu.transport import redis
from kombu.utils.json import dumps, loads
from redis import Redis
from redis.exceptions import ResponseError

from farm.state.bounded_answers import BOUNDED, BoundedParser, OversizedValueError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_MESSAGE = 4 << 20
"""Bytes of one message; in memory it takes some twenty times as many at the worst."""
CONTROL = "celery.pidbox"
"""The exchange of Celery's remote control."""
MAX_SHOWN = 200
"""Bytes of a rejected message that are looked at for a warning, which shows less."""
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 160


class RejectedError(Exception):
    """Why a message is not processed."""


class Admission(NamedTuple):
    """The checks of a worker's messages: each returns what kombu may see, or raises RejectedError."""

    task: Callable[[str, Any], dict[str, Any]]
    """Checks a message of a queue, which is the first argument."""
    control: Callable[[Any], dict[str, Any]]
    """Checks a message of Celery's remote control."""


class MessageParser(BoundedParser):
    """Reads messages."""

    largest = MAX_MESSAGE


def use_bounded_channels() -> None:
    """Have kombu use these channels for every Redis that a URL names."""
    # An own class of transport would not do: kombu takes the class from the URL's scheme, also where another
    # one is set, and remembers it from an earlier connection of the process.
    redis.Transport.Channel = Channel


def checked(source: str, shown: object, check: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What is admitted of a message; None, with one warning that shows its beginning, if it is rejected."""
    try:
        return check()
    except RejectedError as error:
        reason = str(error)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        # Whatever the decoder raises: it calls what a message names, such as the decoder of a date.
        reason = f"it cannot be decoded: {type(error).__name__}"
    log.warning("rejected a message in %s: %s: %s", source, reason, _SHORT.repr(shown))
    return None


class _Client(Redis):
    """A client whose BRPOP returns nothing in place of a message that is rejected."""

    def __init__(self, *, channel: Channel, **options: Any) -> None:
        super().__init__(**options)
        self._channel = channel

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """Read an answer."""
        parse: Any = super().parse_response
        if command_name != "BRPOP":
            return parse(connection, command_name, **options)
        try:
            answer = parse(connection, command_name, **options)
        except OversizedValueError as error:
            log.warning("rejected a message: %s", error)
            return None
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self._channel.remove_damaged()
            return None
        return answer and self._channel.admitted(*answer)


_Kombus: Any = redis.Channel
"""Its stubs lack what is private."""


class Channel(_Kombus):  # type: ignore[misc]
    """A channel that consumes what `admit` admits, and everything without it."""

    admit: ClassVar[Admission | None] = None
    """What this process may consume. No option of the transport: a worker shows those to Flower."""

    def admitted(self, key: bytes, message: bytes) -> list[bytes] | None:
        """The answer to BRPOP with what is admitted of a message."""
        if not (admit := self.admit):
            return [key, message]
        queue = key.decode(errors="replace").rsplit(self.sep, 1)[0]
        found = checked(queue, message[:MAX_SHOWN], lambda: admit.task(queue, loads(message)))
        return None if found is None else [key, dumps(found).encode()]

    def remove_damaged(self) -> None:
        """Remove what is no list of messages where there should be one: nothing else could be consumed."""
        with self.conn_or_acquire() as client:
            for queue in self.active_queues:
                for priority in self.priority_steps:
                    key = self._q_for_pri(queue, priority)
                    if client.type(key) not in (b"list", b"none"):
                        client.delete(key)
                        log.warning("removed the key %r: it was no list of messages", key)

    def _get_client(self) -> Callable[..., Redis]:
        super()._get_client()
        return functools.partial(_Client, channel=self)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        return parameters | BOUNDED | {"parser_class": MessageParser}

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)
        except OversizedValueError as error:
            log.warning("rejected a broadcast message: %s", error)
        return None

    def _handle_message(self, client: Any, answer: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._handle_message(client, answer)
        if (admit := self.admit) and isinstance(data := found["data"], bytes):
            admitted = checked(CONTROL, data[:MAX_SHOWN], lambda: admit.control(loads(data)))
            # kombu ignores what is empty.
            found["data"] = dumps(admitted) if admitted else None
        return found
