"""farm pkg manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.manifest import publish
from farm.cli.pkg.flags import text, verb
from farm.cli.push_options import Wishes

if TYPE_CHECKING:
    from farm.cli.pkg.flags import Asked


@verb(
    "manifest",
    click.Argument(["directories"], nargs=-1, required=True, metavar="DIR..."),
    text("release", "Release under this tag, too.", "TAG"),
)
def command(asked: Asked, directories: tuple[str, ...], release: str | None) -> int:
    """Publish each package's index from all the NAME:HASH-ARCH images that stand, and sign it: farm manifest.

    An architecture that does not stand yet is left out, and taken in the next time.
    """
    wishes = Wishes((), force=False, partial=True, release=release)
    return publish(directories, asked.tags, asked.settings, wishes, as_json=False)
