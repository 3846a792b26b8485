"""Which of Celery's remote control commands a worker answers: those that only look.

Whoever reaches Redis can send them to all workers; so does Flower. The others contradict what the farm
records: a worker whose queues were cancelled counted as free, and a terminated build was built again. A
command that is not as Flower sends it is rejected before Celery sees it.
"""

from __future__ import annotations

import base64
import logging
import reprlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from celery.worker.control import Panel, control_command
from kombu.utils.json import dumps, loads

from farm.scheduling.transport import CONTROL
from workers.shapes import LONGEST_TEXT, is_id, is_texts, mapping, require, text

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("farm.worker")

ANSWERED = frozenset(
    {
        *("active", "active_queues", "conf", "ping", "query_task", "registered", "reserved", "revoked"),
        *("scheduled", "stats"),
        # Events are sent in any case; Flower asks for them every few seconds.
        *("enable_events", "heartbeat"),
    }
)
_INSTEAD = "use farm workers drain, farm cancel, or the settings of the worker"


def refuse_changes() -> None:
    """Replace every other command, also those of a newer Celery, by a refusal."""
    for name in set(Panel.data) - ANSWERED:
        control_command(name=name)(_refusal(name))


def _refusal(name: str) -> Callable[..., dict[str, str]]:
    def refuse(state: Any, **arguments: Any) -> dict[str, str]:  # noqa: ARG001 - Celery calls it so
        log.warning("refused the remote control command %s", name)
        return {"error": f"workers of a farm refuse {name}: {_INSTEAD}"}

    return refuse


def admit_control(message: Any) -> dict[str, Any]:
    """A message of Celery's remote control as the worker processes it."""
    found = mapping("the message", message)
    properties = mapping("properties", found.get("properties"))
    require(properties.get("body_encoding") == "base64", "body_encoding is not base64")
    body = text("body", found.get("body"), longest=LONGEST_TEXT)
    asked = mapping("the body", loads(base64.b64decode(body, validate=True)))
    method, arguments = text("method", asked.get("method")), asked.get("arguments") or {}
    require(method in Panel.data, f"there is no command {reprlib.repr(method)}")
    destination = asked.get("destination")
    require(destination is None or is_texts(destination), "destination is no list of workers")
    # A pattern may take for ever to match; nothing of the farm sends one.
    require(not asked.get("pattern") and not asked.get("matcher"), "it has a pattern")
    simple = mapping("arguments", arguments if method in ANSWERED else {})
    require(
        all(value is None or isinstance(value, str | bool) or is_texts(value) for value in simple.values()),
        "arguments are not simple",
    )
    command = {
        "method": method,
        "arguments": simple,
        "destination": destination,
        **_reply(asked),
    }
    return {
        "body": base64.b64encode(dumps(command).encode()).decode(),
        "headers": {},
        "properties": {"body_encoding": "base64", "delivery_tag": str(uuid4()), "delivery_info": {}},
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }


def _reply(asked: dict[str, Any]) -> dict[str, Any]:
    """Where to send the answer: to a queue of answers, and nowhere else."""
    if not asked.get("reply_to"):
        return {}
    to = mapping("reply_to", asked["reply_to"])
    require(to.get("exchange") == f"reply.{CONTROL}", "reply_to is no queue of answers")
    require(is_id(to.get("routing_key")) and is_id(asked.get("ticket")), "reply_to or ticket is no id")
    return {
        "ticket": asked["ticket"],
        "reply_to": {"exchange": to["exchange"], "routing_key": to["routing_key"]},
    }
