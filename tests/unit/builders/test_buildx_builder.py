from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.builders.builder import BuildSpec, Control
from farm.builders.buildx_builder import run_buildx
from farm.builders.buildx_plugin import Plugin
from farm.errors import RegistryUnavailableError
from farm.settings import Settings
from tests.unit.builders.test_buildx_process import RECORDINGS, REFERENCE

if TYPE_CHECKING:
    from pathlib import Path


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
    with pytest.raises(
        RegistryUnavailableError, match=r"^the push of .* made no progress for 0.3 s"
    ) as caught:
        run_recording(tmp_path, "success", 60)
    assert caught.value.retryable


def test_a_step_without_output_is_not_stopped(tmp_path: Path) -> None:
    run_recording(tmp_path, "disk-full-step", 0.8)
