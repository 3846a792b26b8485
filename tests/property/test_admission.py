"""Messages of any content: each is admitted in the shape that the farm sends, or rejected with one reason."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farm.scheduling.transport import checked
from workers.admission import admission
from workers.remote_control import admit_control

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
GOOD: dict[str, Any] = {
    "headers": {
        "lang": "py",
        "task": "farm.build_and_push",
        "id": "a1",
        "retries": 0,
        "timelimit": [None, None],
    },
    "properties": {"body_encoding": "base64", "priority": 5},
    "content-type": "application/json",
    "content-encoding": "utf-8",
}
BUILD = {"run": "r1", "package": "linuxkit/foo", "arch": "amd64"}
CONTENT = [[], BUILD, {"callbacks": None, "chord": None}]
ADMIT = admission(["amd64"], publisher=True)


def encoded(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def admit(message: Any) -> dict[str, Any] | None:
    return checked("build.amd64", message, lambda: ADMIT.task("build.amd64", message))


def test_a_build_is_admitted_without_what_the_farm_does_not_send() -> None:
    more = {
        "headers": GOOD["headers"] | {"compression": "gzip", "hostname": "x", "timelimit": [10**9, 10**9]}
    }
    found = admit(GOOD | more | {"body": encoded(CONTENT), "x": 1})
    assert found
    assert found["headers"].keys().isdisjoint({"compression", "hostname"})
    assert found["properties"]["delivery_info"] == {"exchange": "", "routing_key": "build.amd64"}
    assert found["headers"]["timelimit"] == [None, None]
    assert "x" not in found


@given(JSON)
def test_any_message_is_admitted_or_rejected(message: Any) -> None:
    assert admit(message) is None
    assert checked("celery.pidbox", message, lambda: admit_control(message)) is None


@given(st.sampled_from([*GOOD, "body"]), JSON)
def test_any_field_is_admitted_or_rejected(name: str, value: Any) -> None:
    admit(GOOD | {"body": encoded(CONTENT), name: value})


@given(st.sampled_from(list(BUILD)), JSON)
def test_a_build_is_admitted_only_with_fields_of_the_right_types(name: str, value: Any) -> None:
    content = [[], BUILD | {name: value}, {}]
    assert isinstance(value, str) or admit(GOOD | {"body": encoded(content)}) is None


@given(JSON, JSON, JSON)
def test_any_body_is_admitted_or_rejected(positional: Any, keywords: Any, embedded: Any) -> None:
    assert admit(GOOD | {"body": encoded([positional, keywords, embedded])}) is None


@given(st.sampled_from(["method", "arguments", "destination", "pattern", "reply_to", "ticket"]), JSON)
def test_any_command_is_admitted_or_rejected(name: str, value: Any) -> None:
    body = encoded({"method": "ping", "arguments": {}, "destination": None, name: value})
    message = {"body": body, "properties": {"body_encoding": "base64"}}
    found = checked("celery.pidbox", message, lambda: admit_control(message))
    assert found is None or set(found["properties"]) == {"body_encoding", "delivery_tag", "delivery_info"}
