from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.builders.engine_builder import BuildResult
from farm.buildkit.progress import LONGEST_LINE, Progress, readable
from farm.buildkit.status_messages import (
    STDERR,
    STDOUT,
    Trace,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Replay

_STEP = Vertex("sha256:a", "[2/3] RUN make", started=100.0)
_BEGUN = Trace(vertexes=(_STEP,))


def lines(*traces: Trace) -> list[str]:
    """What these messages add to the log after the start of the step."""
    progress = Progress()
    begun, *added = [line for trace in (_BEGUN, *traces) for line in progress.feed(trace)]
    assert begun == "#1 [2/3] RUN make"
    return [*added, *progress.flush()]


def printed(data: bytes, time: float = 100.42, stream: int = STDOUT) -> Trace:
    return Trace(logs=(VertexLog("sha256:a", time, data, stream),))


def ended(**fields: Any) -> Trace:
    return Trace(vertexes=(replace(_STEP, completed=101.2, **fields),))


def test_a_step_is_logged_with_its_number_output_and_duration() -> None:
    assert lines(printed(b"hello\n"), ended()) == ["#1 0.420 hello", "#1 DONE 1.2s"]


@pytest.mark.parametrize(
    ("fields", "line"),
    [({"cached": True}, "#1 CACHED"), ({"error": "exit code: 2"}, "#1 ERROR: exit code: 2")],
)
def test_the_end_of_a_step_is_logged_with_how_it_ended(fields: dict[str, Any], line: str) -> None:
    assert lines(ended(**fields)) == [line]


def test_a_cancelled_step_is_not_the_one_that_failed() -> None:
    progress = Progress()
    cancelled = Vertex("sha256:b", "[1/2] RUN sleep 9", started=1.0, completed=2.0, error="context canceled")
    log = [*progress.feed(Trace(vertexes=(cancelled,))), *progress.feed(ended(error="exit code: 2"))]
    assert "#1 CANCELED" in log
    failed = progress.failed()
    assert failed is not None
    assert failed.vertex.name == "[2/3] RUN make"


def test_a_line_that_arrives_in_parts_is_one_line() -> None:
    word = "gr\u00fc\u00df".encode()
    assert lines(printed(word[:4]), printed(word[4:]), printed(b"e\n")) == ["#1 0.420 grüße"]


def test_the_two_streams_of_a_step_are_not_mixed_in_one_line() -> None:
    log = lines(printed(b"out"), printed(b"err\n", stream=STDERR), printed(b"put\n"))
    assert log == ["#1 0.420 err", "#1 0.420 output"]


@pytest.mark.parametrize(("after", "line"), [(0.001, "make: no rule"), (5.0, "2 tests failed")])
def test_of_simultaneous_lines_the_one_on_stderr_is_quoted(after: float, line: str) -> None:
    progress = Progress()
    output = printed(b"make: no rule\n", stream=STDERR), printed(b"2 tests failed\n", 100.42 + after)
    for trace in (_BEGUN, *output):
        list(progress.feed(trace))
    assert progress.steps["sha256:a"].last_line == line


def test_a_last_line_without_a_newline_is_logged_before_the_end_of_the_step() -> None:
    assert lines(printed(b"no newline"), ended()) == ["#1 0.420 no newline", "#1 DONE 1.2s"]


def test_a_line_that_never_ends_is_cut_and_takes_little_memory() -> None:
    progress = Progress()
    list(progress.feed(_BEGUN))
    for _ in range(1000):
        list(progress.feed(printed(b"x" * 10_000)))
    assert len(progress.steps["sha256:a"].unfinished[STDOUT].data) < 5 * LONGEST_LINE
    assert max(map(len, progress.flush())) <= LONGEST_LINE


def test_a_progress_bar_is_logged_in_its_last_state() -> None:
    assert lines(printed(b"10%\r50%\r100%\r\n")) == ["#1 0.420 100%"]


def test_a_layer_is_logged_once_when_it_is_complete() -> None:
    incomplete = Trace(statuses=(VertexStatus("sha256:a", "sha256:0f", 500, None),))
    done = Trace(statuses=(VertexStatus("sha256:a", "sha256:0f", 1_060_000, 3.0),))
    assert lines(incomplete, done, done) == ["#1 sha256:0f 1.06MB done"]


def test_a_warning_is_logged_with_its_step() -> None:
    trace = Trace(warnings=(VertexWarning("sha256:a", "FROM as casing"),))
    assert lines(trace) == ["#1 WARN: FROM as casing"]


def test_the_lines_of_a_step_in_one_message_stay_together() -> None:
    other = Vertex("sha256:b", "[1/2] RUN true", started=1.0, completed=2.0)
    log = lines(Trace(vertexes=(*ended().vertexes, other), logs=printed(b"hello\n").logs))
    assert [line.split()[0] for line in log] == ["#1", "#1", "#2", "#2"]


@given(st.text())
def test_no_line_can_move_the_cursor_or_colour_a_terminal(text: str) -> None:
    line = readable(text)
    assert not any(ord(char) < 32 and char != "\t" for char in line.replace("\n", ""))
    assert len(line) <= LONGEST_LINE


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07red", "\x1b]8;;http://x\x1b\\red", "r\x08ed"]
)
def test_escapes_are_removed_from_a_line(text: str) -> None:
    assert readable(text) == "red"


@given(st.binary(max_size=200))
def test_an_unreadable_progress_message_never_fails_the_build(data: bytes) -> None:
    BuildResult(lambda _: None).take({"id": "moby.buildkit.trace", "aux": base64.b64encode(data).decode()})


@pytest.mark.parametrize("aux", [None, 7, "***", {"ID": "x"}])
def test_a_trace_that_is_not_base64_never_fails_the_build(aux: object) -> None:
    log: list[str] = []
    BuildResult(log.append).take({"id": "moby.buildkit.trace", "aux": aux})
    assert len(log) == 1


def test_the_log_of_a_build_is_like_that_of_docker_build(replay: Callable[[str], Replay]) -> None:
    result, log = replay("success")
    assert result.image(200).startswith("sha256:")
    number = next(line for line in log if line.endswith("RUN echo one; printf two")).split()[0]
    step = [line for line in log if line.startswith(f"{number} ")]
    assert [line.split()[-1] for line in step[1:3]] == ["one", "two"]
    assert step[-1].startswith(f"{number} DONE ")


def test_a_cached_build_logs_which_steps_were_cached(replay: Callable[[str], Replay]) -> None:
    _, log = replay("cached")
    number = next(line for line in log if line.endswith("RUN cat /hello")).split()[0]
    assert f"{number} CACHED" in log


def test_output_with_escapes_and_invalid_bytes_is_made_safe_to_show(replay: Callable[[str], Replay]) -> None:
    _, log = replay("colours")
    shown = [line.split(" ", 2)[2] for line in log if line.split()[1][:2] == "0."]
    assert shown[:4] == ["red", "30%", "odd \ufffd byte", "x"]
    assert all(len(line) <= LONGEST_LINE for line in log)
