"""What buildx printed, recorded from real builds: tests/data/buildx/CASE.txt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.builders.buildx_builder import BuildxResult
from farm.builders.buildx_progress import LONGEST, Splitter, read_status
from farm.errors import (
    BuildFailedError,
    DiskFullError,
    EngineUnavailableError,
    FarmError,
    RegistryDeniedError,
    RegistryUnavailableError,
)
from farm.model import Reference

RECORDINGS = Path(__file__).parents[2] / "data" / "buildx"


def split(data: bytes, size: int = 1 << 16) -> list[object]:
    splitter = Splitter()
    items: list[object] = []
    for at in range(0, len(data), size):
        items.extend(splitter.feed(data[at : at + size]))
    return [*items, *splitter.flush()]


def replayed(case: str) -> tuple[BuildxResult, list[str]]:
    """What a recorded build came to, and its log."""
    lines: list[str] = []
    outcome = BuildxResult(Reference.parse("localhost:5998/t/ok:1"), lines.append)
    for item in split((RECORDINGS / f"{case}.txt").read_bytes()):
        assert isinstance(item, dict | str)
        outcome.take(item)
    return outcome, lines


def test_a_builds_log_reads_as_that_of_any_builder() -> None:
    outcome, lines = replayed("success")
    outcome.check(0)
    (header,) = (line for line in lines if "[2/3] RUN" in line)
    number = header.split()[0]
    told = [line.split(maxsplit=2)[2] for line in lines if line.startswith(f"{number} 0.")]
    assert sorted(told) == ["err", "one", "two"]
    assert any(line.startswith(f"{number} DONE ") for line in lines)
    assert any("pushing layers done" in line for line in lines)


@pytest.mark.parametrize(
    ("case", "kind", "sentence"),
    [
        ("disk-full-step", DiskFullError, "the disk of the Docker Engine is full"),
        ("disk-full-context", DiskFullError, "the disk of the Docker Engine is full"),
        ("denied-push", RegistryDeniedError, "push of localhost:5998/t/ok:1: localhost:5998 refuses"),
        (
            "denied-push-overlay2",
            RegistryDeniedError,
            "push of localhost:5998/t/ok:1: localhost:5998 refuses",
        ),
    ],
)
def test_a_failure_is_one_sentence_of_its_kind(case: str, kind: type[FarmError], sentence: str) -> None:
    outcome, _ = replayed(case)
    with pytest.raises(FarmError) as caught:
        outcome.check(1)
    assert type(caught.value) is kind
    assert caught.value.message.startswith(sentence)


def test_a_buildx_that_is_killed_can_be_tried_again() -> None:
    outcome, _ = replayed("success")
    with pytest.raises(EngineUnavailableError, match="killed by signal 9") as caught:
        outcome.check(-9)
    assert caught.value.retryable


def test_a_push_that_gets_no_further_is_given_up_and_can_be_tried_again_and_a_quiet_step_is_not() -> None:
    outcome, _ = replayed("disk-full-step")
    outcome.heard = 0.0
    outcome.check_push(5.0)
    outcome, _ = replayed("success")
    outcome.check_push(60.0)
    outcome.heard -= 61.0
    with pytest.raises(RegistryUnavailableError, match="got no further for 60 s") as caught:
        outcome.check_push(60.0)
    assert caught.value.retryable


def test_a_buildx_that_fails_without_a_word_is_told_by_its_status() -> None:
    with pytest.raises(BuildFailedError, match="docker buildx ended with status 3"):
        BuildxResult(Reference.parse("a/b:1"), print).check(3)


@given(st.integers(1, 4000))
def test_it_makes_no_difference_in_which_pieces_the_output_arrives(size: int) -> None:
    data = (RECORDINGS / "denied-push.txt").read_bytes()
    assert split(data, size) == split(data)


def test_objects_on_one_line_are_read_like_indented_ones() -> None:
    indented = split((RECORDINGS / "success.txt").read_bytes())
    compact = "".join(f"{json.dumps(item)}\n" for item in indented)
    assert split(compact.encode()) == indented


@pytest.mark.parametrize("text", ["{ braces }", "{", "}", '["list"]', "WARNING: x", '{"no": "end"'])
def test_a_line_that_is_no_object_stays_a_line(text: str) -> None:
    assert split(f"{text}\n".encode()) == [text]


def test_output_that_never_ends_takes_no_more_than_bounded_memory() -> None:
    splitter = Splitter()
    for _ in range(3 * LONGEST // 65536):
        list(splitter.feed(b"x" * 65536))
        assert len(splitter.rest) <= LONGEST + 65536
    for _ in range(3 * LONGEST // 65536):
        list(splitter.feed(b"{\n" + b"x" * 65534 + b"\n"))
        assert splitter.held <= LONGEST + 2 * 65536


@pytest.mark.parametrize("item", [{"vertexes": [{}]}, {"logs": [3]}, {"statuses": 5}])
def test_progress_of_another_shape_is_told_and_ends_no_build(item: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="progress"):
        read_status(item)
    lines: list[str] = []
    BuildxResult(Reference.parse("a/b:1"), lines.append).take(item)
    assert "progress that cannot be read" in lines[0]
