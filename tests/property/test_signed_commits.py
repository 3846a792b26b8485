"""For any commit: what git signed, and the signature, are found in it as git put them there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farm.watch.allowed import split_signature

_LINES = st.binary(max_size=20).filter(lambda line: b"\n" not in line)
_SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\nAAAA\nBBBB\n-----END SSH SIGNATURE-----\n"
_HEADERS = st.lists(st.sampled_from([b"parent 1", b"mergetag object 1\n type commit", b"encoding UTF-8"]))


@given(_HEADERS, _HEADERS, st.lists(_LINES))
def test_the_signature_is_taken_out_of_the_headers(
    before: list[bytes], after: list[bytes], message: list[bytes]
) -> None:
    header = b"gpgsig " + _SIGNATURE.removesuffix(b"\n").replace(b"\n", b"\n ")
    whole = b"\n".join([b"tree 1", *before, header, *after, b"", *message])
    signed = b"\n".join([b"tree 1", *before, *after, b"", *message])
    assert split_signature(whole) == (signed, _SIGNATURE)


@given(_HEADERS, st.lists(_LINES))
def test_a_commit_without_a_signature_has_none(headers: list[bytes], message: list[bytes]) -> None:
    whole = b"\n".join([b"tree 1", *headers, b"", b"gpgsig " + _SIGNATURE, *message])
    signed, signature = split_signature(whole)
    assert (signed, signature) == (whole, b"\n")
