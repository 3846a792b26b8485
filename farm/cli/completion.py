"""farm completion: the script that makes a shell complete verbs and flags."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell, to be sourced: eval "$(farm completion bash)"."""
    from farm.cli.main import cli  # noqa: PLC0415 - the verbs import their group nowhere else

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known")
    click.echo(kind(cli, {}, "farm", "_FARM_COMPLETE").source())
