"""BuildKit's progress messages as values, under BuildKit's own names.

The engine sends each as base64 in the `aux` of a `moby.buildkit.trace` message of POST /build. The numbers of
the fields are those of StatusResponse and what it contains:
https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

from farm.buildkit.protobuf import Message, decode

STDOUT, STDERR = 1, 2
_LONGEST_NAME, _LONGEST_ERROR = 1 << 11, 1 << 14
"""Characters that are kept of what a step is called, and of why it failed."""


@dataclass(frozen=True, slots=True)
class Vertex:
    """The state of one step of a build; times are seconds since 1970."""

    digest: str
    name: str
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""

    def shortened(self) -> Vertex:
        """The step as it is remembered until the build has ended."""
        return replace(self, name=self.name[:_LONGEST_NAME], error=self.error[:_LONGEST_ERROR])


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
    # StatusResponse: vertexes 1, statuses 2, logs 3, warnings 4. VertexWarning: vertex 1, short 3.
    message = decode(base64.b64decode(aux, validate=True))
    return Trace(
        vertexes=tuple(_vertex(item) for item in message.messages(1)),
        statuses=tuple(_status(item) for item in message.messages(2)),
        logs=tuple(_log(item) for item in message.messages(3)),
        warnings=tuple(VertexWarning(vertex=item.text(1), text=item.text(3)) for item in message.messages(4)),
    )


# Vertex: digest 1, name 3, cached 4, started 5, completed 6, error 7.
def _vertex(item: Message) -> Vertex:
    return Vertex(
        digest=item.text(1),
        name=item.text(3),
        cached=bool(item.number(4)),
        started=item.seconds(5),
        completed=item.seconds(6),
        error=item.text(7),
    ).shortened()


# VertexStatus: ID 1, vertex 2, name 3, current 4, completed 8.
def _status(item: Message) -> VertexStatus:
    name = item.text(1) or item.text(3)
    return VertexStatus(vertex=item.text(2), name=name, current=item.number(4), completed=item.seconds(8))


# VertexLog: vertex 1, timestamp 2, stream 3, msg 4.
def _log(item: Message) -> VertexLog:
    return VertexLog(
        vertex=item.text(1),
        time=item.seconds(2) or 0.0,
        data=item.data(4),
        stream=item.number(3),
    )
