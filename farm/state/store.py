"""The connection to Redis, its Lua scripts, and the names of its keys.

The keys of one run share the hash tag {r42-k3f9}, those of one lease {lease:NAME}: no script spans two of
them.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from farm.errors import StateDeniedError, StateError, StateUnavailableError
from farm.state.bounded_answers import BOUNDED, OversizedAnswerError, OversizedValueError
from farm.system.certificates import distrust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from farm.settings import Secret

    Arguments = list[str | int | float]
    Call = tuple[list[str], Arguments]
    """The keys and arguments of one call of a script."""

P = ParamSpec("P")
R = TypeVar("R")

_LUA = Path(__file__).parent / "lua"
_TIMEOUT = 10.0
"""Longest wait for one answer of Redis, seconds."""
_FOLLOW_MS, _FOLLOW_ENTRIES = 1000, 500
_BATCH = 500
"""Calls of a script in one round trip."""
_TEMPORARY = (ReadOnlyError, OutOfMemoryError, ClusterDownError, TryAgainError)
"""What Redis answers while it is a replica, out of memory, or part of an incomplete cluster."""
_ALSO_TEMPORARY = re.compile(r"\b(?:MISCONF|NOREPLICAS|BUSY|UNBLOCKED)\b")
"""The same for errors without a class in redis-py: full disk, missing replicas, long script, new master."""


def translate_redis_errors(call: Callable[P, R]) -> Callable[P, R]:
    """Make a function that talks to Redis raise the farm's errors."""

    @functools.wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except (RedisError, OSError) as error:
            raise refusal(error) or _failure(error) from error

    return guarded


def refusal(error: BaseException) -> StateDeniedError | None:
    """The error for a login that Redis refuses, or a certificate that is not trusted; None for others."""
    if isinstance(error, NoPermissionError):
        return StateDeniedError(
            f"Redis refuses a command: {error}",
            hint="is the user in the setting broker meant for this, and its ACL up to date? `farm doctor`",
        )
    if isinstance(error, AuthenticationError | AuthorizationError):
        return StateDeniedError(
            f"Redis refused the login: {error}", hint="check user and password in the setting broker"
        )
    if reason := distrust(error):
        return StateDeniedError(
            f"the certificate of Redis is not trusted: {reason}",
            hint="name the CA that issued it with broker-ca",
        )
    return None


def _failure(error: RedisError | OSError) -> StateError | StateUnavailableError:
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
        return StateUnavailableError(
            f"Redis does not answer: {error}", hint="is it running, and is the setting broker right?"
        )
    if isinstance(error, _TEMPORARY) or _ALSO_TEMPORARY.search(str(error)):
        return StateUnavailableError(
            f"Redis refuses writes: {error}", hint="look at its log, its disk and its memory"
        )
    if isinstance(error, OversizedValueError | OversizedAnswerError):
        return StateError(
            f"Redis holds more than the farm stores: {error}", hint="who else writes to it? remove that key"
        )
    if str(error).startswith("WRONGTYPE"):
        return StateError(
            f"Redis holds another type of value than the farm stores: {error}",
            hint="who else writes to it? remove that key",
        )
    return StateError(f"Redis refused: {error}")


def _is_refusal(answer: object) -> bool:
    damaged = isinstance(answer, OversizedValueError) or str(answer).startswith("WRONGTYPE")
    return isinstance(answer, Exception) and not damaged


class Store:
    """A Redis that holds the farm's state; safe to share between threads, not across a fork."""

    def __init__(self, url: Secret, *, timeout: float = _TIMEOUT) -> None:
        retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries=3)
        options: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "health_check_interval": 30,
            "retry": retry,
            **BOUNDED,
        }
        self.binary: Redis = Redis.from_url(url.reveal(), **options)
        # Whatever the bytes are that somebody stored: the farm's own are UTF-8.
        text: dict[str, Any] = {"decode_responses": True, "encoding_errors": "backslashreplace"}
        self.text: Redis = Redis.from_url(url.reveal(), **text, **options)
        self._scripts: dict[str, Any] = {}

    @translate_redis_errors
    def run_script(self, name: str, keys: list[str], arguments: Arguments) -> list[Any]:
        """Run lua/NAME.lua, and load it into Redis first if it is missing."""
        return cast("list[Any]", self._script(name)(keys=keys, args=arguments))

    @translate_redis_errors
    def run_scripts(self, name: str, calls: Sequence[Call]) -> list[list[Any]]:
        """Run lua/NAME.lua once for each call, some hundreds of them in one round trip."""
        answers: list[list[Any]] = []
        for at in range(0, len(calls), _BATCH):
            pipeline = self.text.pipeline(transaction=False)
            for keys, arguments in calls[at : at + _BATCH]:
                self._script(name)(keys=keys, args=arguments, client=pipeline)
            answers += pipeline.execute()
        return answers

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            self._scripts[name] = self.text.register_script(script_text(name))
        return self._scripts[name]

    @translate_redis_errors
    def ask(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The answers to commands, (method of redis-py, argument, ...) each, in one round trip."""
        answers = self.ask_each(commands)
        if error := next((answer for answer in answers if isinstance(answer, Exception)), None):
            raise error
        return answers

    @translate_redis_errors
    def ask_each(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The same, with an error in place of each answer that the key at fault does not allow.

        It has another type than the farm gave it, or a value that is too large.
        """
        pipeline = self.text.pipeline(transaction=False)
        for method, *arguments in commands:
            getattr(pipeline, method)(*arguments)
        answers = list(pipeline.execute(raise_on_error=False))
        # The error that redis-py would raise repeats the command with its arguments.
        if error := next((answer for answer in answers if _is_refusal(answer)), None):
            raise error
        return answers

    @translate_redis_errors
    def ping(self) -> None:
        """Return when Redis answers; StateUnavailableError when it does not."""
        self.text.ping()

    @translate_redis_errors
    def now(self) -> float:
        """The time by Redis' clock, which all machines of the farm share: Unix time, seconds."""
        return unix_time(self.text.time())

    def close(self) -> None:
        """Close all connections."""
        self.binary.close()
        self.text.close()


def script_text(name: str) -> str:
    """The text of lua/NAME.lua; those of leases share lease.lua."""
    files = ["lease", name] if name.startswith("lease_") else [name]
    return "".join((_LUA / f"{file}.lua").read_text("utf-8") for file in files)


def unix_time(answer: tuple[int, int]) -> float:
    """The answer of Redis' TIME as seconds."""
    seconds, micro = answer
    return seconds + micro / 1e6


def follow_stream(store: Store, key: str, start: str = "0") -> Iterator[dict[str, str] | None]:
    """The entries of a stream after the id `start`, as they arrive; None after each second without one."""
    last = start
    while True:
        (answer,) = store.ask([("xread", {key: last}, _FOLLOW_ENTRIES, _FOLLOW_MS)])
        entries = dict(answer)[key] if answer else []
        for entry, fields in entries:
            last = entry
            yield fields
        if not entries:
            yield None


def run_key(run: str, part: str) -> str:
    """A key of one run; docs/architecture.md lists the parts."""
    return f"farm:{{{run}}}:{part}"


def lease_key(name: str, part: str) -> str:
    """A key of one lease; `part` is lease or queue."""
    return f"farm:{{lease:{name}}}:{part}"


RUNS = "farm:runs"
OPEN_RUNS = "farm:open-runs"
RUN_NUMBER = "farm:run-number"
ONCE = "farm:once:"
"""Before the SHA-256 of a submitter's key, to the name of the run that was submitted under it."""
WORKERS = "farm:workers"
DRAINED = "farm:drained"
