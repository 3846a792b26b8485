"""farm completion: the script that makes a shell complete verbs and flags."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell. To load it: eval "$(farm completion bash)"."""
    from farm.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"unknown shell {shell}")
    click.echo(kind(cli, {}, "farm", "_FARM_COMPLETE").source())
