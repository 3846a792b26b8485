"""BuildKit's progress messages as values, under BuildKit's own names.

The engine sends each as base64 in the `aux` of a `moby.buildkit.trace` message of POST /build:
https://github.com/moby/buildkit/blob/master/api/services/control/control.proto (StatusResponse)
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from farm.buildkit.fields import (
    StatusResponseField,
    VertexField,
    VertexLogField,
    VertexStatusField,
    VertexWarningField,
)
from farm.buildkit.protobuf import Message, decode

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Vertex:
    """The state of one step of a build; times are seconds since 1970."""

    digest: str
    name: str
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class VertexStatus:
    """Progress inside a step, such as a layer that is fetched; `current` is bytes."""

    vertex: str
    name: str
    current: int
    completed: float | None


@dataclass(frozen=True, slots=True)
class VertexLog:
    """Output of a step; it may end in the middle of a line, or of a character."""

    vertex: str
    time: float
    data: bytes
    stream: int = STDOUT


@dataclass(frozen=True, slots=True)
class VertexWarning:
    """A warning about a step."""

    vertex: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One progress message."""

    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[VertexStatus, ...] = ()
    logs: tuple[VertexLog, ...] = ()
    warnings: tuple[VertexWarning, ...] = ()


def read_trace(aux: str) -> Trace:
    """Decode the `aux` of a `moby.buildkit.trace` message.

    Raises:
        ValueError: it is not base64, or not a StatusResponse.
    """
    message = decode(base64.b64decode(aux, validate=True))
    return Trace(
        tuple(_vertex(item) for item in message.messages(StatusResponseField.VERTEXES)),
        tuple(_status(item) for item in message.messages(StatusResponseField.STATUSES)),
        tuple(_log(item) for item in message.messages(StatusResponseField.LOGS)),
        tuple(_warning(item) for item in message.messages(StatusResponseField.WARNINGS)),
    )


def _vertex(item: Message) -> Vertex:
    return Vertex(
        digest=item.text(VertexField.DIGEST),
        name=item.text(VertexField.NAME),
        cached=bool(item.number(VertexField.CACHED)),
        started=item.seconds(VertexField.STARTED),
        completed=item.seconds(VertexField.COMPLETED),
        error=item.text(VertexField.ERROR),
    )


def _status(item: Message) -> VertexStatus:
    return VertexStatus(
        vertex=item.text(VertexStatusField.VERTEX),
        name=item.text(VertexStatusField.ID) or item.text(VertexStatusField.NAME),
        current=item.number(VertexStatusField.CURRENT),
        completed=item.seconds(VertexStatusField.COMPLETED),
    )


def _log(item: Message) -> VertexLog:
    return VertexLog(
        vertex=item.text(VertexLogField.VERTEX),
        time=item.seconds(VertexLogField.TIMESTAMP) or 0.0,
        data=item.data(VertexLogField.MSG),
        stream=item.number(VertexLogField.STREAM),
    )


def _warning(item: Message) -> VertexWarning:
    return VertexWarning(item.text(VertexWarningField.VERTEX), item.text(VertexWarningField.SHORT))
