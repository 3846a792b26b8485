"""farm pkg show-tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.pkg.flags import switch, verb
from farm.cli.show_tag import print_tags

if TYPE_CHECKING:
    from farm.cli.pkg.flags import Asked


@verb(
    "show-tag",
    click.Argument(["directories"], nargs=-1, required=True, metavar="DIR..."),
    switch("canonical", "Print the registry's host too: docker.io/linuxkit/foo:HASH."),
)
def command(asked: Asked, directories: tuple[str, ...], canonical: bool | None) -> None:
    """Print the tag of each package directory, one a line: farm show-tag."""
    print_tags(directories, asked.tags, canonical=bool(canonical))
