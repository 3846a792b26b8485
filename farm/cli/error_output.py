"""How an error is told to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from farm.errors import FarmError


def tell(error: FarmError) -> None:
    """Print an error on standard error: one line, or one for each of those that it is made of."""
    for one in error.parts or (error,):
        click.echo(f"farm: {' '.join(str(one).split())}", err=True)
