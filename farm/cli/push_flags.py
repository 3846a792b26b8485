"""The flags of push, plan and manifest that are not about packages; passed as one PushOptions, `options`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import click

from farm.cli.options import refuse_unknown_arches
from farm.errors import InputError
from farm.model import Reference
from farm.planning.plan import PushOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.settings import Settings

F = TypeVar("F", bound="Callable[..., Any]")


def make_push_options(
    settings: Settings,
    *,
    only: tuple[str, ...] = (),
    force: bool = False,
    partial: bool = False,
    release: str | None = None,
) -> PushOptions:
    """The options of a push, from the settings and the flags.

    Raises:
        InputError: an unknown architecture, --only without --partial, or a release that is not a valid tag.
    """
    refuse_unknown_arches((*only, *settings.arches))
    if only and not partial:
        raise InputError(
            "--only omits architectures, and an incomplete index is not published",
            hint="add --partial to publish it without them",
        )
    if release:
        Reference.parse(f"release:{release}")
    return PushOptions(
        settings.arches, only=only, sign=settings.sign, force=force, partial=partial, release=release or ""
    )


def build_and_publish_options(verb: F) -> F:
    """Give a verb that builds all these flags."""
    force = click.option("--force", is_flag=True, help="Build even if the image exists.")
    return force(publish_options(verb))


def publish_options(verb: F) -> F:
    """Give a verb that only publishes these flags, all but --force."""

    @functools.wraps(verb)
    def wrapped(settings: Settings, /, **given: Any) -> Any:
        only = tuple(arch for word in given.pop("only") for arch in word.split(","))
        flags = {name: given.pop(name) for name in ("force", "partial", "release") if name in given}
        return verb(settings, options=make_push_options(settings, only=only, **flags), **given)

    decorators = (
        click.option(
            "--release", metavar="TAG", help="Also publish every package's index under this tag: all or none."
        ),
        click.option("--partial", is_flag=True, help="Publish an index even if architectures are missing."),
        click.option(
            "--only", multiple=True, metavar="ARCH", help="Only these architectures; requires --partial."
        ),
    )
    for decorate in decorators:
        wrapped = decorate(wrapped)
    return wrapped  # type: ignore[return-value]  # click's decorators keep the signature
