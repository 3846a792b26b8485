"""Whatever others wrote, a parser returns a value or raises an error that its caller reports."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.model.strict_json import parse_json
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    anything = st.binary(max_size=99)
    damaged = st.integers(0, 1 << 32).map(lambda seed: mutated(random.Random(seed), target.seeds))
    try:
        target.run(data.draw(st.one_of(anything, damaged)))
    except target.refusals:
        return


@given(JSON)
def test_json_of_one_meaning_is_read_as_the_standard_library_reads_it(value: object) -> None:

    text = json.dumps(value)
    try:
        assert parse_json(text.encode()) == json.loads(text)
    except ValueError:
        assert "NaN" in text or "Infinity" in text


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "a": 2}}]', "[" * 100_000, "NaN", "9" * 5000]
)
def test_json_of_two_meanings_or_without_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|nested|not JSON|digits"):
        parse_json(text)


def test_some_seconds_of_fuzzing_find_nothing() -> None:
    """`python -m tests.fuzz --seconds 60` does more."""
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(TARGETS)
