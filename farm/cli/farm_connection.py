"""The farm that a verb works with: that of the configured broker, or the private farm."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.cli.output import print_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.settings import Settings
    from farm.state.store import Store


@contextmanager
def attached(settings: Settings, *, builds: bool = False) -> Iterator[tuple[Settings, Store]]:
    """Connect as `farm.private_farm.connect.connect_farm` does; on a terminal, note that no broker is set.

    Without the note, somebody who forgot FARM_BROKER would not know why the runs of others are missing.
    """
    from farm.private_farm import connect

    if settings.broker is None and sys.stderr.isatty():
        print_note(f"no broker is set: using the private farm in {settings.state_dir}")
    with connect.connect_farm(settings, builds=builds) as found:
        yield found
