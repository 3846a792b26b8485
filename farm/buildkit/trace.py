"""BuildKit's progress messages (StatusResponse) as values."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from farm.buildkit.protobuf import Message, decode

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Vertex:
    """One step of a build, as it stands now; times are seconds since 1970."""

    digest: str
    name: str
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Progress inside a step, such as a layer that is fetched; sizes are bytes."""

    vertex: str
    name: str
    current: int
    total: int
    completed: float | None


@dataclass(frozen=True, slots=True)
class Output:
    """What a step printed; it may end in the middle of a line, or of a character."""

    vertex: str
    time: float
    data: bytes
    stream: int = STDOUT


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning about a step."""

    vertex: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One progress message."""

    vertexes: tuple[Vertex, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    outputs: tuple[Output, ...] = ()
    notices: tuple[Notice, ...] = ()


def read_trace(aux: str) -> Trace:
    """Decode the `aux` of a `moby.buildkit.trace` message.

    Raises:
        ValueError: it is not base64, or no StatusResponse.
    """
    message = decode(base64.b64decode(aux, validate=True))
    return Trace(
        tuple(_vertex(item) for item in message.messages(1)),
        tuple(_transfer(item) for item in message.messages(2)),
        tuple(_output(item) for item in message.messages(3)),
        tuple(Notice(item.text(1), item.text(3)) for item in message.messages(4)),
    )


def _vertex(item: Message) -> Vertex:
    return Vertex(
        item.text(1), item.text(3), bool(item.number(4)), item.seconds(5), item.seconds(6), item.text(7)
    )


def _output(item: Message) -> Output:
    return Output(item.text(1), item.seconds(2) or 0.0, item.data(4), item.number(3))


def _transfer(item: Message) -> Transfer:
    name = item.text(1) or item.text(3)
    return Transfer(item.text(2), name, item.number(4), item.number(5), item.seconds(8))
