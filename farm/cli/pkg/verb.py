"""How the verbs of `farm pkg` are declared."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from farm.cli.pkg.common_flags import COMMON_FLAGS
from farm.cli.pkg.flag_checks import check_common_flags
from farm.cli.pkg.flag_spelling import normalize_flags
from farm.cli.pkg.pkg_flags import PkgFlags
from farm.cli.pkg.request import make_request

if TYPE_CHECKING:
    from collections.abc import Callable


class LinuxkitCommand(click.Command):
    """A command whose flags may be written as `linuxkit` takes them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments after their flags are rewritten as click takes them."""
        return super().parse_args(ctx, normalize_flags(args, self.params))


def pkg_verb(name: str, *own: click.Parameter) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb of `farm pkg` with the common flags and its own parameters.

    The function gets a PkgRequest, and as keywords the arguments that are not DIR.
    """
    arguments = [str(parameter.name) for parameter in own if isinstance(parameter, click.Argument)]

    def decorate(function: Callable[..., Any]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            positional = {argument: options.pop(argument) for argument in arguments}
            directories = positional.pop("directories", ())
            flags = PkgFlags(**options)
            check_common_flags(name, flags)
            return function(make_request(flags, directories, ctx.obj.config), **positional)

        return click.command(name, cls=LinuxkitCommand, params=[*COMMON_FLAGS, *own])(wrapped)

    return decorate
