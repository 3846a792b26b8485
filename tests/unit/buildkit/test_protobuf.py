from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.buildkit.protobuf import decode, encode

_VALUES = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), _VALUES), max_size=20))
def test_decoding_returns_the_encoded_values_in_order(fields: list[tuple[int, int | bytes]]) -> None:
    message = decode(encode(*fields))
    for number, _ in fields:
        assert message.fields[number] == [value for other, value in fields if other == number]


@given(st.binary(max_size=100))
def test_any_bytes_are_decoded_or_refused_with_a_value_error(data: bytes) -> None:
    try:
        decode(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x0a\x05abc", id="shorter than it says"),
        pytest.param(b"\x08", id="ends before the number"),
        pytest.param(b"\x08" + b"\xff" * 11, id="number without end"),
        pytest.param(b"\x0b\x0c", id="groups, which are deprecated"),
    ],
)
def test_a_damaged_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"message|number|wire type"):
        decode(data)


def test_absent_fields_have_protobufs_defaults() -> None:
    empty = decode(b"")
    assert (empty.number(1), empty.text(1), empty.seconds(1)) == (0, "", None)


def test_a_timestamp_is_seconds_with_fractions() -> None:
    assert decode(encode((5, encode((1, 1700000000), (2, 500000000))))).seconds(5) == 1700000000.5


def test_text_that_is_not_utf8_is_decoded_with_replacement_characters() -> None:
    assert decode(encode((1, b"bad \xff"))).text(1) == "bad \ufffd"
