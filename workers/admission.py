"""Which messages a worker processes: those of its role, in the shape that the farm sends.

Whoever can write to Redis can put anything into a queue. What is admitted is made anew from the fields that
are known, so that nothing else reaches Celery: no countdown, no time limit, no compression, no callback.
"""

from __future__ import annotations

import base64
import reprlib
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu.utils.json import loads

from farm import __version__
from farm.errors import FarmError, NotUnderstoodError
from farm.model import ArchImage
from farm.scheduling.celery_app import BUILD, PUBLISH, PUBLISH_QUEUE, SETTLE, build_queue
from farm.scheduling.transport import Admission, RejectedError
from tasks.reject import refuse_unknown
from workers.remote_control import admit_control
from workers.shapes import (
    is_id,
    is_number,
    is_optional_id,
    is_optional_text,
    is_soon,
    is_time_limit,
    mapping,
    require,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.worker_context import SharedFlag

_MAX_PRIORITY = 9
_REMEMBERED = 600.0
"""Seconds for which a worker reports that it is too old for a message."""
_CALLBACKS = {BUILD: {"chord": PUBLISH}, PUBLISH: {"errbacks": SETTLE}, SETTLE: {}}
"""What a task may embed: the task that follows, by its place in the message."""
_ENCODING = {"content-type": "application/json", "content-encoding": "utf-8"}


def admission(
    arches: Sequence[str], *, publisher: bool, on_unknown: Callable[[], None] = lambda: None
) -> Admission:
    """What a worker with this role processes; `on_unknown` is called for fields that it does not know."""
    queues = {build_queue(arch): arch for arch in arches} | ({PUBLISH_QUEUE: ""} if publisher else {})

    def admit(queue: str, message: Any) -> dict[str, Any]:
        try:
            return _admit_task(queues, queue, message)
        except NotUnderstoodError as error:
            on_unknown()
            raise RejectedError(str(error)) from error

    return Admission(admit, admit_control)


class UnknownFields:
    """Whether messages or orders with fields that this release does not know arrived in the last minutes."""

    def __init__(self, arrived: SharedFlag) -> None:
        self._arrived = arrived
        self._last = float("-inf")

    def note(self) -> None:
        """Note that one arrived; the pool processes, which read the orders, set the flag themselves."""
        self._arrived.set()

    @property
    def trouble(self) -> str:
        """What a worker reports; "" for nothing."""
        if self._arrived.is_set:
            self._arrived.clear()
            self._last = time.monotonic()
        if time.monotonic() - self._last > _REMEMBERED:
            return ""
        return f"too old: it rejected work with fields that release {__version__} does not know"


def role_tasks(arches: Sequence[str], *, publisher: bool) -> tuple[str, ...]:
    """The modules whose tasks a worker with this role registers."""
    modules = ("tasks.build_and_push", *(["tasks.publish_manifest"] if publisher else []))
    return modules if arches else modules[1:]


def _admit_task(queues: dict[str, str], queue: str, message: Any) -> dict[str, Any]:
    """The message of a task as the worker processes it."""
    require(queue in queues, "this worker does not serve that queue")
    found, arch = mapping("the message", message), queues[queue]
    headers = _headers(mapping("headers", found.get("headers")))
    task = headers["task"]
    require(task in ([BUILD] if arch else [PUBLISH, SETTLE]), f"no task {reprlib.repr(task)} in this queue")
    properties = mapping("properties", found.get("properties"))
    for name, value in (*_ENCODING.items(), ("body_encoding", "base64")):
        given = (properties if name == "body_encoding" else found).get(name)
        require(given == value, f"{name} is not {value}")
    priority = properties.get("priority")
    require(is_number(priority, _MAX_PRIORITY), "priority is no small number")
    _check_body(task, arch, text("body", found.get("body"), longest=None))
    return {
        "body": found["body"],
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": priority,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
        **_ENCODING,
    }


def _headers(given: dict[str, Any]) -> dict[str, Any]:
    for name, is_valid in _HEADERS.items():
        require(is_valid(given.get(name)), f"the header {name} is not as the farm sends it")
    # The worker's own time limit applies: the default of a task for which the message has none. Celery stores
    # no result: the state has all of them, and a chord collects its own.
    own = {"timelimit": [None, None], "ignore_result": True}
    return {name: given.get(name) for name in _HEADERS} | own


def _check_body(task: str, arch: str, body: str) -> None:
    content = loads(base64.b64decode(body, validate=True))
    require(isinstance(content, list) and len(content) == 3, "the body is not [args, kwargs, embed]")  # noqa: PLR2004 - protocol 2
    positional, keywords, embedded = content
    keywords, embedded = mapping("kwargs", keywords), mapping("embed", embedded)
    read = _READERS[task]
    try:
        run, package = read(positional, arch, **keywords)
    except NotUnderstoodError:
        raise
    except FarmError as error:
        raise RejectedError(f"{reprlib.repr(keywords)}: {error}") from error
    for place, following in embedded.items():
        expected = _CALLBACKS[task].get(place)
        signatures = following if place == "errbacks" and isinstance(following, list) else [following]
        for signature in signatures if following else ():
            require(expected is not None, f"the task has {reprlib.repr(place)}")
            _check_signature(signature, str(expected), run, package)


def _check_signature(signature: Any, task: str, run: str, package: str) -> None:
    """Check that what follows a task belongs to the same package."""
    found = mapping("what follows", signature)
    options, keywords = mapping("options", found.get("options")), mapping("kwargs", found.get("kwargs"))
    same = (found.get("task"), options.get("queue"), keywords) == (
        task,
        PUBLISH_QUEUE,
        {"run": run, "package": package},
    )
    require(same, f"what follows is not {task} of the same package")
    following = options.get("link_error") or []
    require(isinstance(following, list), "link_error is no list")
    for one in following:
        _check_signature(one, SETTLE, run, package)


def _read_build(
    positional: Any, arch: str, /, *, run: Any = None, package: Any = None, **others: Any
) -> tuple[str, str]:
    named = others.pop("arch", None)
    refuse_unknown(others)
    require(positional == [], "args are not empty")
    require(named == arch, f"a job for {reprlib.repr(named)}")
    return text("run", run), text("package", package)


def _read_publish(
    positional: Any, _: str, /, *, run: Any = None, package: Any = None, **unknown: Any
) -> tuple[str, str]:
    refuse_unknown(unknown)
    require(isinstance(positional, list) and len(positional) == 1, "args are not one list of images")
    require(isinstance(positional[0], list), "args are not one list of images")
    for image in positional[0]:
        ArchImage.from_json(mapping("an image", image))
    return text("run", run), text("package", package)


def _read_settle(
    positional: Any, _: str, /, *, run: Any = None, package: Any = None, **unknown: Any
) -> tuple[str, str]:
    refuse_unknown(unknown)
    require(positional == [], "args are not empty")
    return text("run", run), text("package", package)


_READERS: dict[str, Callable[..., tuple[str, str]]] = {
    BUILD: _read_build,
    PUBLISH: _read_publish,
    SETTLE: _read_settle,
}
_HEADERS: dict[str, Callable[[Any], bool]] = {
    "lang": lambda value: value == "py",
    "task": lambda value: isinstance(value, str),
    "id": is_id,
    "shadow": is_optional_text,
    "eta": is_soon,
    "expires": lambda value: value is None,
    "group": is_optional_id,
    "group_index": lambda value: value is None or is_number(value, 1 << 20),
    "retries": lambda value: is_number(value, 1),
    "timelimit": is_time_limit,
    "root_id": is_optional_id,
    "parent_id": is_optional_id,
    "argsrepr": is_optional_text,
    "kwargsrepr": is_optional_text,
    "origin": is_optional_text,
    # True in what Celery itself sends again, after a child of the pool died.
    "ignore_result": lambda value: value is None or isinstance(value, bool),
    "replaced_task_nesting": lambda value: value is None or is_number(value, 0),
    "stamped_headers": lambda value: value is None or value == [],
    "stamps": lambda value: value is None or value == {},
}
"""The headers of a task as the farm sends them; others are dropped.

https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2
"""
