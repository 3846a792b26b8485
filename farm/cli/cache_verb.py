"""How the verbs of `farm cache` are declared: with the flags that every command of `linuxkit` has."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from farm.cli.main import GroupWithHelp
from farm.cli.output import print_note, print_warning
from farm.cli.pkg.flag_spelling import LinuxkitCommand, move_flags_after_verb
from farm.cli.pkg.root_flags import NO_EFFECT, ROOT_FLAGS, flag_name, root_settings
from farm.errors import InputError
from farm.model import ARCHES
from farm.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

_USED = {
    "pull": ("cache", "mirror", "cert_file"),
    "push": ("cache", "cert_file"),
    "rm": ("cache", "cert_file"),
    "clean": ("cache", "cert_file"),
}
"""Verb to those of the flags that it uses; others use only the cache."""


class CacheGroup(GroupWithHelp):
    """The verbs of `farm cache`; flags may precede the verb."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move flags behind the verb: `farm cache --cache DIR ls`."""
        return super().parse_args(ctx, move_flags_after_verb(args, ROOT_FLAGS))


def cache_verb(group: click.Group, name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb of `farm cache`; the function gets the settings as its first argument."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            flags = {str(flag.name): options.pop(str(flag.name)) for flag in ROOT_FLAGS}
            for flag, value in flags.items():
                if value and flag not in _USED.get(name, ("cache",)):
                    print_note(
                        f"{flag_name(flag)}: {NO_EFFECT.get(flag) or f'has no effect on cache {name}'}"
                    )
            given = root_settings(flags["cache"], flags["mirror"], flags["cert_file"])
            return function(load_settings(given, config=ctx.obj.config, warn=print_warning), **options)

        command = click.command(name, cls=LinuxkitCommand)(wrapped)
        command.params += ROOT_FLAGS
        group.add_command(command)
        return command

    return decorate


def arch_of_platform(platform: str) -> str:
    """The architecture of linux/ARCH[/VARIANT]."""
    system, _, rest = platform.partition("/")
    arch = rest.partition("/")[0]
    if system != "linux" or arch not in ARCHES:
        known = ", ".join(f"linux/{one}" for one in ARCHES)
        raise InputError(f"--platform: unknown platform {platform!r}", hint=f"one of {known}")
    return arch
