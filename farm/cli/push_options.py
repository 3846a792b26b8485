"""The flags of push, plan and manifest that say what is wished for beyond the packages."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from farm.errors import InputError
from farm.model import ARCHES, Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.planning.push_options import PushOptions
    from farm.settings import Settings

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The flags as they were given."""

    only: tuple[str, ...]
    force: bool
    partial: bool
    release: str | None = None
    skip: tuple[str, ...] = ()

    def to_wish(self, settings: Settings) -> PushOptions:
        """The wish, checked.

        Raises:
            InputError: an architecture that does not exist, or that is left out without --partial, or a
                release that is no tag.
        """
        from farm.planning.push_options import PushOptions  # noqa: PLC0415 - beside the registry client that it comes with

        for arch in (*self.only, *settings.arches):
            if arch not in ARCHES:
                raise InputError(f"{arch!r} is no architecture", hint=f"one of {', '.join(ARCHES)}")
        if self.only and not self.partial:
            raise InputError(
                "--only leaves architectures out, and an index is never published in part",
                hint="add --partial if that is what you want",
            )
        if self.release:
            Reference.parse(f"release:{self.release}")
        return PushOptions(
            settings.arches,
            skip=self.skip,
            only=self.only,
            sign=settings.sign,
            force=self.force,
            partial=self.partial,
            release=self.release or "",
        )


def wish_options(verb: F) -> F:
    """Give a verb that builds these flags; they arrive as one `wishes`."""
    return click.option("--force", is_flag=True, help="Build although the image stands.")(
        publish_options(verb)
    )


def publish_options(verb: F) -> F:
    """Give a verb that publishes all of these flags but --force, which is for builds."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **options: Any) -> Any:
        only = tuple(word for given in options.pop("only") for word in given.split(","))
        force = options.pop("force", False)
        wishes = Wishes(only, force, options.pop("partial"), options.pop("release"))
        return verb(*args, wishes=wishes, **options)

    wrapped = click.option(
        "--release", metavar="TAG", help="Publish every package's index under this tag too, all or none."
    )(wrapped)
    wrapped = click.option("--partial", is_flag=True, help="Publish although an architecture is missing.")(
        wrapped
    )
    return click.option(
        "--only", multiple=True, metavar="ARCH", help="Just these architectures; needs --partial."
    )(wrapped)  # type: ignore[return-value]  # click's decorators keep the shape
