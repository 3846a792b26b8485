"""What is known of the disk of an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.builders.pruning import free_space, unseen_disk
from farm.settings import Settings
from tasks.disk_space import disk_trouble

NOWHERE = "/no/such/directory"
"""The engine's data directory, as a worker in a container sees it."""


def test_a_worker_in_a_container_measures_the_disk_where_engine_disk_shows_it(tmp_path: Path) -> None:
    settings = Settings(engine_disk=tmp_path, disk_free=1 << 60)
    assert disk_trouble(settings, NOWHERE).startswith(f"disk full: {NOWHERE} has ")
    assert unseen_disk(settings, NOWHERE) == ""


@pytest.mark.parametrize(
    ("engine", "engine_disk", "why"),
    [
        ("tcp://b.example.org:2376", None, "the Docker Engine at tcp://b.example.org:2376 is not on this"),
        (
            "tcp://b.example.org:2376",
            Path("/"),
            "the Docker Engine at tcp://b.example.org:2376 is not on this",
        ),
        (None, None, f"{NOWHERE}, on the disk of the Docker Engine, is not visible here; mount a volume"),
        (None, Path("/none"), "/none, on the disk of the Docker Engine, is not visible here; mount a volume"),
    ],
)
def test_a_disk_that_cannot_be_measured_is_not_guessed_and_the_worker_says_so(
    engine: str | None, engine_disk: Path | None, why: str
) -> None:
    settings = Settings(engine=engine, engine_disk=engine_disk, disk_free=1 << 60)
    assert free_space(settings, NOWHERE) is None
    assert disk_trouble(settings, NOWHERE) == ""
    assert unseen_disk(settings, NOWHERE).startswith("disk-free has no effect: ")
    assert why in unseen_disk(settings, NOWHERE)


def test_the_disk_of_an_engine_of_this_machine_is_measured_without_a_setting(tmp_path: Path) -> None:
    assert free_space(Settings(), str(tmp_path)) is not None
    assert unseen_disk(Settings(), str(tmp_path)) == ""
