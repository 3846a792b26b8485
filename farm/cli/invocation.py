"""The options that hold for a whole command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Invocation:
    """One run of the command `farm`: what click passes to every verb as `ctx.obj`."""

    config: Path | None = None
    debug: bool = False
    json: bool = False
    """Whether the verb was called with --json."""
