"""buildx as a user of docker has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.setup import BUILDX

if TYPE_CHECKING:
    from pathlib import Path


def install_buildx(docker_config: Path) -> None:
    """Put the lab's buildx where docker looks for plugins first."""
    plugins = docker_config / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    if not (plugins / BUILDX.name).exists():
        (plugins / BUILDX.name).symlink_to(BUILDX)
