"""A statement says exactly what the worker said; hostile statements and envelopes are only ever refused."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farm.attestation.envelope import open_envelope
from farm.attestation.statement import Provenance, from_statement, to_statement
from farm.errors import AttestationError
from farm.model import ARCHES
from tests.support.attestations import PROVENANCE, Worker
from tests.support.values import digest

_WORKER = Worker()
_SEALED = _WORKER.states()
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_DIGESTS = st.text(max_size=3).map(digest)
_LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
_TIMES = st.integers(0, 4 * 10**15).map(lambda micros: micros / 10**6)
_PROVENANCES = st.builds(
    Provenance,
    image=_DIGESTS,
    name=st.sampled_from(["docker.io/linuxkit/foo", "[::1]:5000/a/b-c", "localhost/x"]),
    tag=st.sampled_from(["1", "v1.2", "a" * 40]),
    arch=st.sampled_from(ARCHES),
    tree=_LINES,
    recipe=_DIGESTS,
    order=_DIGESTS,
    run=_LINES,
    parameters=st.dictionaries(st.text(), _JSON, max_size=4),
    materials=st.lists(st.tuples(st.sampled_from(["a:b", "pkg:docker/x@1"]), _DIGESTS), max_size=3).map(
        tuple
    ),
    builder=_LINES,
    started=_TIMES,
    finished=_TIMES,
    fingerprint=st.just("") | _DIGESTS,
)


@given(_PROVENANCES)
def test_a_statement_is_read_as_it_was_written(provenance: Provenance) -> None:
    assert from_statement(to_statement(provenance)) == provenance


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in _places(inner, (*path, key)))]


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A JSON value with another part at a place; without it if that is Ellipsis."""
    if not path:
        return new
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    if new is ... and not rest:
        del copy[first]
    else:
        copy[first] = _put(value[first], tuple(rest), new)
    return copy


_STATEMENT, _ENVELOPE = json.loads(to_statement(PROVENANCE)), json.loads(_SEALED)


@given(st.sampled_from(_places(_STATEMENT)[1:]), st.just(...) | _JSON)
def test_a_statement_with_any_other_field_or_value_is_refused_or_says_so(
    path: tuple[Any, ...], new: Any
) -> None:
    body = json.dumps(_put(_STATEMENT, path, new), sort_keys=True, separators=(",", ":")).encode()
    with suppress(AttestationError):
        assert to_statement(from_statement(body)) == body


@given(st.sampled_from(_places(_ENVELOPE)[1:]), st.just(...) | _JSON)
def test_an_envelope_that_was_changed_anywhere_is_refused_or_says_the_same(
    path: tuple[Any, ...], new: Any
) -> None:
    changed = json.dumps(_put(_ENVELOPE, path, new)).encode()
    with suppress(AttestationError):
        said, key = open_envelope(changed, [_WORKER.key.public])
        assert (from_statement(said).builder, key) == (_WORKER.name, _WORKER.key.public)


@given(st.binary(max_size=40) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_are_neither_are_refused(body: bytes) -> None:
    for read in (from_statement, lambda body: open_envelope(body, [_WORKER.key.public])):
        with suppress(AttestationError):
            read(body)
            raise AssertionError


@given(st.sampled_from(["image", "name", "tag", "arch", "tree", "order", "parameters", "finished"]), _JSON)
def test_any_value_is_refused_or_can_be_read_again(field: str, value: Any) -> None:
    with suppress(AttestationError):
        said = to_statement(replace(PROVENANCE, **{field: value}))
        assert to_statement(from_statement(said)) == said
