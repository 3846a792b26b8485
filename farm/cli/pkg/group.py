"""farm pkg: what `linuxkit pkg` does, with its flags."""

from __future__ import annotations

import importlib

import click

from farm.cli.pkg.flag_spelling import verb_first
from farm.cli.pkg.flags import COMMON

VERBS: dict[str, tuple[str, str]] = {
    "build": ("farm.cli.pkg.build", "Make packages available in the LinuxKit cache."),
    "push": ("farm.cli.pkg.push", "Build, publish and sign packages on the farm."),
    "show-tag": ("farm.cli.pkg.show_tag", "Print the tags of packages."),
    "manifest": ("farm.cli.pkg.manifest", "Publish the index of images that stand."),
    "remote-tag": ("farm.cli.pkg.remote_tag", "Put an image of a registry under another tag."),
}
_ALSO = {"index": "manifest"}


class PackageVerbs(click.Group):
    """A group whose verbs are imported when they are called; flags may stand before the verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb itself."""
        name = _ALSO.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in VERBS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take flags before the verb, too: `farm pkg --org wombat show-tag DIR`."""
        return super().parse_args(ctx, verb_first(args, COMMON))


@click.group("pkg", cls=PackageVerbs)
def command() -> None:
    r"""What `linuxkit pkg` does, with its flags: for scripts and for habits.

    Flags have two dashes, or one, as with the linuxkit of 2021: -org=wombat -disable-content-trust. One that
    means nothing on a farm is told in a note, or refused. docs/linuxkit.md lists every flag.
    """
