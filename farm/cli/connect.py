"""The farm that a verb works with: the one whose broker is set, or the private one, which people are told."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.settings import Settings
    from farm.state.store import Store


@contextmanager
def attached(settings: Settings, *, builds: bool = False) -> Iterator[tuple[Settings, Store]]:
    """As `farm.private_farm.connect.connect_farm`, with a note on a terminal where no broker is set.

    Who forgot FARM_BROKER would otherwise look for the runs of others in a farm of their own.
    """
    from farm.private_farm import connect  # noqa: PLC0415 - Redis is slow to import

    if settings.broker is None and sys.stderr.isatty():
        where = settings.state_dir
        click.echo(f"note: no broker is set: using the private farm in {where}", err=True)
    with connect.connect_farm(settings, builds=builds) as found:
        yield found
