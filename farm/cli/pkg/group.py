"""farm pkg: the commands of `linuxkit pkg`, with its flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import click

from farm.cli.lazy_group import LazyGroup
from farm.cli.pkg.common_flags import COMMON_FLAGS
from farm.cli.pkg.flag_spelling import move_flags_after_verb

if TYPE_CHECKING:
    from collections.abc import Mapping

VERBS: dict[str, tuple[str, str]] = {
    "build": ("farm.cli.pkg.build", "Build packages into the LinuxKit cache."),
    "push": ("farm.cli.pkg.push", "Build, publish and sign packages on the farm."),
    "show-tag": ("farm.cli.pkg.show_tag", "Print the tags of packages."),
    "manifest": ("farm.cli.pkg.manifest", "Publish the index of existing images."),
    "remote-tag": ("farm.cli.pkg.remote_tag", "Copy an image to another tag or registry."),
}


class PkgGroup(LazyGroup):
    """The verbs of `farm pkg`; flags may precede the verb."""

    verbs = VERBS
    aliases: ClassVar[Mapping[str, str]] = {"index": "manifest"}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move flags behind the verb: `farm pkg --org wombat show-tag DIR`."""
        return super().parse_args(ctx, move_flags_after_verb(args, COMMON_FLAGS))


@click.group("pkg", cls=PkgGroup)
def command() -> None:
    r"""Run the commands of `linuxkit pkg` with its flags, for existing scripts and habits.

    Flags have two dashes, or one as with the linuxkit of 2021: -org=wombat -disable-content-trust. A flag
    that has no effect on a farm is noted or refused. docs/linuxkit.md lists every flag.
    """
