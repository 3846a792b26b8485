"""farm down: stop this machine's private farm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("down")
@with_settings("state_dir")
def command(settings: Settings) -> None:
    """Stop the workers and the Redis of the private farm. Open runs continue when it is up again."""
    from farm.private_farm.connect import take_down

    click.echo("the private farm is down" if take_down(settings) else "no private farm was running")
