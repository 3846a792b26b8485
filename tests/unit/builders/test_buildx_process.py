"""The output of buildx, recorded from real builds: tests/data/buildx/CASE.txt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.builders.builder import BuildSpec, Control
from farm.builders.buildx_builder import BuildxResult, run_buildx
from farm.builders.buildx_plugin import Plugin
from farm.builders.buildx_process import LONGEST, OutputParser, read_status
from farm.errors import (
    BuildFailedError,
    DiskFullError,
    EngineUnavailableError,
    RegistryDeniedError,
    RegistryUnavailableError,
)
from farm.model import Reference
from farm.settings import Settings

REFERENCE = Reference.parse("localhost:5998/t/ok:1")
RECORDINGS = Path(__file__).parents[2] / "data" / "buildx"


def split(data: bytes, size: int = 1 << 16) -> list[object]:
    parser = OutputParser()
    items: list[object] = []
    for at in range(0, len(data), size):
        items.extend(parser.feed(data[at : at + size]))
    return [*items, *parser.flush()]


def replayed(case: str) -> tuple[BuildxResult, list[str]]:
    """The result of a recorded build, and its log."""
    lines: list[str] = []
    result = BuildxResult(lines.append)
    for item in split((RECORDINGS / f"{case}.txt").read_bytes()):
        assert isinstance(item, dict | str)
        result.take(item)
    return result, lines


def test_a_builds_log_is_like_that_of_the_engine_builder() -> None:
    result, lines = replayed("success")
    result.check(0, REFERENCE)
    (header,) = (line for line in lines if "[2/3] RUN" in line)
    number = header.split()[0]
    output = [line.split(maxsplit=2)[2] for line in lines if line.startswith(f"{number} 0.")]
    assert sorted(output) == ["err", "one", "two"]
    assert any(line.startswith(f"{number} DONE ") for line in lines)
    assert any("pushing layers done" in line for line in lines)


@pytest.mark.parametrize("case", ["disk-full-step", "disk-full-context"])
def test_a_disk_that_fills_up_during_a_build_is_reported_as_full(case: str) -> None:
    with pytest.raises(DiskFullError, match=r"^the disk of the Docker Engine is full"):
        replayed(case)[0].check(1, REFERENCE)


@pytest.mark.parametrize("case", ["denied-push", "denied-push-overlay2"])
def test_a_denied_push_is_one_sentence_with_the_image_and_the_registry(case: str) -> None:
    sentence = f"^push of {REFERENCE}: access denied by localhost:5998"
    with pytest.raises(RegistryDeniedError, match=sentence):
        replayed(case)[0].check(1, REFERENCE)


def test_a_killed_buildx_can_be_retried() -> None:
    result, _ = replayed("success")
    with pytest.raises(EngineUnavailableError, match="killed by signal 9") as caught:
        result.check(-9, REFERENCE)
    assert caught.value.retryable


def test_a_buildx_that_fails_without_a_message_is_reported_with_its_status() -> None:
    with pytest.raises(BuildFailedError, match="docker buildx exited with status 3"):
        BuildxResult(print).check(3, REFERENCE)


@given(st.integers(1, 4000))
def test_the_chunks_in_which_the_output_arrives_make_no_difference(size: int) -> None:
    data = (RECORDINGS / "denied-push.txt").read_bytes()
    assert split(data, size) == split(data)


def test_objects_on_one_line_are_read_like_indented_ones() -> None:
    indented = split((RECORDINGS / "success.txt").read_bytes())
    compact = "".join(f"{json.dumps(item)}\n" for item in indented)
    assert split(compact.encode()) == indented


@pytest.mark.parametrize("text", ["{ braces }", "{", "}", '["list"]', "WARNING: x", '{"no": "end"'])
def test_a_line_that_is_not_an_object_stays_a_line(text: str) -> None:
    assert split(f"{text}\n".encode()) == [text]


def test_a_line_or_object_that_never_ends_takes_bounded_memory() -> None:
    parser = OutputParser()
    for _ in range(3 * LONGEST // 65536):
        list(parser.feed(b"x" * 65536))
        assert len(parser.rest) <= LONGEST + 65536
    for _ in range(3 * LONGEST // 65536):
        list(parser.feed(b"{\n" + b"x" * 65534 + b"\n"))
        assert parser.open_size <= LONGEST + 2 * 65536


@pytest.mark.parametrize("item", [{"vertexes": [{}]}, {"logs": [3]}, {"statuses": 5}])
def test_progress_of_another_shape_is_logged_and_fails_no_build(item: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="progress"):
        read_status(item)
    lines: list[str] = []
    BuildxResult(lines.append).take(item)
    assert "unreadable progress message" in lines[0]


def run_recording(folder: Path, case: str, silent_seconds: float) -> None:
    """Run a fake buildx that prints a recorded build, and then nothing for some seconds."""
    program = folder / "docker-buildx"
    program.write_text(f"#!/bin/sh\ncat '{RECORDINGS}/{case}.txt' >&2\nexec sleep {silent_seconds}\n")
    program.chmod(0o755)
    settings = Settings(docker_config=folder, state_dir=folder / "state", push_silence=0.3)
    spec = BuildSpec("amd64", tags=(str(REFERENCE),))
    with (folder / "context.tar").open("w+b") as context:
        run_buildx(Plugin(program, "0.13.1"), settings, spec, "", context, Control(print, 60.0))


def test_a_push_without_progress_is_stopped_and_can_be_retried(tmp_path: Path) -> None:
    sentence = r"^the push of .* made no progress for 0.3 s"
    with pytest.raises(RegistryUnavailableError, match=sentence) as caught:
        run_recording(tmp_path, "success", 60)
    assert caught.value.retryable


def test_a_step_without_output_is_not_stopped(tmp_path: Path) -> None:
    run_recording(tmp_path, "disk-full-step", 0.8)
