"""The protobuf wire format, as far as BuildKit's messages need it: varints and length-delimited fields.

Generated code would tie the farm to a window of protobuf releases; the messages here have at most five
fields that matter, none of which changed since BuildKit's first release.
"""

from __future__ import annotations

from dataclasses import dataclass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message: every value of every field, in the order of the wire."""

    fields: dict[int, tuple[int | bytes, ...]]

    def number(self, field: int) -> int:
        """The last integer of a field; 0 where the field is absent."""
        return next((value for value in reversed(self.fields.get(field, ())) if isinstance(value, int)), 0)

    def data(self, field: int) -> bytes:
        """The last byte string of a field; empty where the field is absent."""
        return next(
            (value for value in reversed(self.fields.get(field, ())) if isinstance(value, bytes)), b""
        )

    def text(self, field: int) -> str:
        """The last string of a field, whatever its bytes; empty where the field is absent."""
        return self.data(field).decode(errors="replace")

    def messages(self, field: int) -> list[Message]:
        """Every message of a repeated field."""
        return [decode(value) for value in self.fields.get(field, ()) if isinstance(value, bytes)]

    def seconds(self, field: int) -> float | None:
        """A google.protobuf.Timestamp as seconds since 1970; None where it is absent."""
        if field not in self.fields:
            return None
        stamp = decode(self.data(field))
        return stamp.number(1) + stamp.number(2) / 1e9


def decode(data: bytes) -> Message:
    """Read one message.

    Raises:
        ValueError: the bytes are no protobuf message.
    """
    fields: dict[int, tuple[int | bytes, ...]] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _value(data, at, key & 7)
        fields[key >> 3] = (*fields.get(key >> 3, ()), value)
    return Message(fields)


def encode(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Write (field number, value) pairs as one message."""
    return b"".join(_encoded(number, value) for number, value in fields)


def _value(data: bytes, at: int, kind: int) -> tuple[int | bytes, int]:
    if kind == _VARINT:
        return _varint(data, at)
    if kind == _BYTES:
        size, at = _varint(data, at)
    elif kind in (_FIXED64, _FIXED32):
        size = 8 if kind == _FIXED64 else 4
    else:
        raise ValueError(f"wire type {kind} is unknown")
    if at + size > len(data):
        raise ValueError("the message ends inside a field")
    return data[at : at + size], at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for position in range(_LONGEST_VARINT):
        if at + position >= len(data):
            raise ValueError("the message ends inside a number")
        byte = data[at + position]
        number |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:  # noqa: PLR2004 - the high bit says that more bytes follow
            return number, at + position + 1
    raise ValueError("a number is longer than 64 bits")


def _encoded(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _encoded_varint(number << 3 | _VARINT) + _encoded_varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(data)) + data


def _encoded_varint(number: int) -> bytes:
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
