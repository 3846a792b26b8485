"""Mutations of inputs: the same seed gives the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

LARGEST = 1 << 16
"""Bytes of an input."""
_TOKENS = (
    *(b"\0", b"\xff", b"\x80", b"\n", b"\r\n", b'"', b"'", b"\\", b"/", b"..", b"@", b":", b"$", b"${", b"%"),
    *(b"[", b"]", b"{", b"}", b",", b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 40, b"\x1b[31m"),
    *(
        "\u202e".encode(),
        "\u017f".encode(),
        "\U0001f600".encode(),
        b"\xed\xa0\x80",
        b"&a ",
        b"*a",
        b"<<",
        b"!!",
    ),
    *(b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"0o", b" " * 8, b"\t"),
)


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed after some random changes."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        chance.choice(_CHANGES)(chance, data, seeds)
    return bytes(data[:LARGEST])


def _place(chance: random.Random, data: bytearray) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 16, 64)))


def _flip(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _place(chance, data)
    data[start:end] = chance.choice(_TOKENS)


def _insert(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, _end = _place(chance, data)
    data[start:start] = chance.choice(_TOKENS) * chance.choice((1, 1, 1, 2, 100))


def _remove(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _place(chance, data)
    del data[start:end]


def _repeat(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = _place(chance, data)
    data[start:start] = data[start:end] * chance.choice((1, 2, 10, 1000))


def _join(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start, _end = _place(chance, data)
    other = chance.choice(seeds)
    data[start:] = other[chance.randrange(len(other) + 1) :]


def _cut(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_place(chance, data)[0] :]


_CHANGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    *(_flip, _replace, _insert, _remove, _repeat, _join, _cut),
)
