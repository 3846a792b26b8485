"""A group of verbs that are imported when they are called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazyGroup(click.Group):
    """Import a verb when it is called; --help imports none."""

    verbs: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Verb to the module that holds its `command`, and the line that --help shows."""
    aliases: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order in which --help lists them."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb itself; None where there is no such verb."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in self.verbs:
            return None
        command: click.Command = importlib.import_module(self.verbs[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self.verbs.items()])
