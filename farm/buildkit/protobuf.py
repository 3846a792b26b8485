"""The protobuf wire format, as far as BuildKit's messages need it: varints and length-delimited fields.

Generated code would tie the farm to a window of protobuf releases; the messages here have at most six
fields that matter, none of which has changed since BuildKit's first release.

Specification: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# https://protobuf.dev/programming-guides/encoding/#structure
_VARINT, _LEN = 0, 2
_SIZES = {1: 8, 5: 4}
"""Bytes of a value by wire type: I64 and I32."""
_LONGEST_VARINT = 10
"""Bytes: a 64-bit number in groups of 7 bits."""
_MOST_VALUES = 100_000
"""Values of one message: of a build with hundreds of steps, it has thousands."""


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message: every value of every field, in the order received."""

    fields: Mapping[int, Sequence[int | bytes]]

    def number(self, field: int) -> int:
        """The integer of a field; 0 if the field is absent."""
        return next((value for value in self._latest_first(field) if isinstance(value, int)), 0)

    def data(self, field: int) -> bytes:
        """The byte string of a field; empty if the field is absent."""
        return next((value for value in self._latest_first(field) if isinstance(value, bytes)), b"")

    def text(self, field: int) -> str:
        """The string of a field, with U+FFFD for invalid UTF-8; empty if the field is absent."""
        return self.data(field).decode(errors="replace")

    def messages(self, field: int) -> list[Message]:
        """Every message of a repeated field."""
        return [decode(value) for value in self.fields.get(field, ()) if isinstance(value, bytes)]

    def seconds(self, field: int) -> float | None:
        """A Timestamp as seconds since 1970; None if the field is absent.

        https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp
        """
        if field not in self.fields:
            return None
        timestamp = decode(self.data(field))
        seconds, nanos = timestamp.number(1), timestamp.number(2)
        return seconds + nanos / 1e9

    def _latest_first(self, field: int) -> Iterator[int | bytes]:
        # The last value wins: https://protobuf.dev/programming-guides/encoding/#last-one-wins
        return reversed(self.fields.get(field, ()))


def decode(data: bytes) -> Message:
    """Decode one message, in time linear in its size; messages inside it are decoded when they are asked for.

    Raises:
        ValueError: the bytes are not a protobuf message, or one of too many values.
    """
    fields: dict[int, list[int | bytes]] = {}
    at = count = 0
    while at < len(data):
        count += 1
        if count > _MOST_VALUES:
            raise ValueError(f"the message has more than {_MOST_VALUES:,} values")
        # A tag is (field_number << 3) | wire_type.
        tag, at = _varint(data, at)
        value, at = _value(data, at, tag & 7)
        fields.setdefault(tag >> 3, []).append(value)
    return Message(fields)


def encode(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Encode (field number, value) pairs as one message."""
    return b"".join(_encoded(number, value) for number, value in fields)


def _value(data: bytes, at: int, wire_type: int) -> tuple[int | bytes, int]:
    if wire_type == _VARINT:
        return _varint(data, at)
    if wire_type == _LEN:
        size, at = _varint(data, at)
    elif wire_type in _SIZES:
        size = _SIZES[wire_type]
    else:
        raise ValueError(f"unknown wire type {wire_type}")
    if at + size > len(data):
        raise ValueError("the message ends inside a field")
    return data[at : at + size], at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode base-128: seven bits a byte, lowest first; the high bit says that more bytes follow."""
    number = 0
    for position, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return number, at + position + 1
    if len(data) < at + _LONGEST_VARINT:
        raise ValueError("the message ends inside a number")
    raise ValueError("a number is longer than 64 bits")


def _encoded(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _encoded_varint(number << 3 | _VARINT) + _encoded_varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _encoded_varint(number << 3 | _LEN) + _encoded_varint(len(data)) + data


def _encoded_varint(number: int) -> bytes:
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
