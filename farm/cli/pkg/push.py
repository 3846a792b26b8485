"""farm pkg push."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from farm.cli.manifest import publish, standing
from farm.cli.pkg.build_flags import MAKING, arches, is_off, leave_to_workers, take_notes
from farm.cli.pkg.flags import note, verb
from farm.cli.pkg.push_cached import Wanted, push_cached
from farm.cli.plan import show_plan
from farm.cli.push import carry_out, say_nothing_to_do
from farm.cli.push_options import Wishes
from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.cli.pkg.flags import Asked
    from farm.model import ArchImage

_BUILDING = ("build_arg_file", "dockerfile", "network", "nonetwork", "disable_cache", "enable_cache")
"""The flags that are about builds alone."""


@verb("push", *MAKING)
def command(asked: Asked, directories: tuple[str, ...], **own: Any) -> int:
    """Build what is missing for every architecture, publish each package's index, and sign it: farm push.

    \b
    farm pkg push -org=wombat -disable-content-trust pkg/foo
    farm pkg push --manifest=false pkg/foo               the images alone
    farm pkg push --image=false --manifest pkg/foo       the index alone
    """
    take_notes(own)
    return push(asked, directories, own)


def push(asked: Asked, directories: tuple[str, ...], own: dict[str, Any]) -> int:
    """Push as the flags of the verb say; returns the exit code."""
    leave_to_workers(own)
    if own["docker"]:
        raise InputError(
            "--docker: what is pushed is built on the farm's workers", hint="farm pkg build --docker"
        )
    if is_off(own, "image") and is_off(own, "manifest"):
        raise InputError("--image=false and --manifest=false leave nothing to push")
    if is_off(own, "image"):
        _refuse_platforms(own)
    if is_off(own, "sign"):
        asked = replace(asked, settings=replace(asked.settings, sign=False))
    release = "" if is_off(own, "manifest") else _release(asked, directories, own["release"])
    if own["release"] and is_off(own, "manifest"):
        raise InputError("--release: a release is an index, and --manifest=false makes none")
    if own["nobuild"] or is_off(own, "image"):
        return _push_standing(asked, directories, own, release)
    return _build(asked, directories, own, release)


def _push_standing(asked: Asked, directories: tuple[str, ...], own: dict[str, Any], release: str) -> int:
    """Push what is built already: the cache's images, unless none are to be pushed, and the index."""
    _note_idle(own)
    dry = bool(own["dry_run"] or own["dry"])
    coming: Mapping[str, Sequence[ArchImage]] = {}
    skip = arches(own["skip_platforms"])
    if not is_off(own, "image"):
        wanted = Wanted(arches(own["platforms"]), skip, required=is_off(own, "manifest"))
        coming = push_cached(asked.settings, directories, asked.tags, wanted, dry=dry)
    if is_off(own, "manifest"):
        return 0
    wishes = Wishes((), force=False, partial=True, release=release, skip=skip)
    if dry:
        show_plan(standing(directories, asked.tags, asked.settings, wishes, coming))
        return 0
    return publish(directories, asked.tags, asked.settings, wishes, as_json=False)


def _note_idle(own: Mapping[str, Any]) -> None:
    """Tell of the flags that are about builds, where there is none."""
    why = "--image=false" if is_off(own, "image") else "--nobuild"
    given = click.get_current_context().params
    for name in _BUILDING:
        if given.get(name) not in (None, ()):
            note(f"--{name.replace('_', '-')}: {why} builds nothing")
    if own["force"]:
        note(f"--force: {why} builds nothing")


def _refuse_platforms(own: Mapping[str, Any]) -> None:
    """Refuse to choose platforms where no image is pushed.

    Raises:
        InputError: some are chosen.
    """
    for name in ("platforms", "skip_platforms"):
        if own[name]:
            raise InputError(
                f"--{name.replace('_', '-')}: --image=false publishes the index of all images that stand",
                hint="leave it out",
            )


def _build(asked: Asked, directories: tuple[str, ...], own: dict[str, Any], release: str) -> int:
    from farm.planning.prepare import prepare  # noqa: PLC0415 - the registry client is imported when it is used

    begun = time.monotonic()
    wish = replace(
        Wishes((), force=bool(own["force"]), partial=False, release=release).to_wish(asked.settings),
        platforms=arches(own["platforms"]),
        skip=arches(own["skip_platforms"]),
        images_only=is_off(own, "manifest"),
    )
    plan = prepare(directories, asked.tags, asked.settings, wish)
    if own["dry_run"] or own["dry"]:
        show_plan(plan)
        return 0
    if plan.up_to_date:
        for warning in plan.warnings:
            click.echo(f"warning: {warning}", err=True)
        return say_nothing_to_do(plan, as_json=False, seconds=time.monotonic() - begun)
    return carry_out(plan, asked.settings, partial=False, detach=False, queue_anyway=False, as_json=False)


def _release(asked: Asked, directories: tuple[str, ...], given: str | None) -> str:
    """The release that is given, else the git tag on HEAD, as linuxkit has it; "" for none.

    Raises:
        InputError: HEAD has several tags.
    """
    from farm.package.git import NAME_A_RELEASE, tags_on_head  # noqa: PLC0415 - git is asked when there is a push

    if given is not None or asked.tags.other_commit:
        return given or ""
    found = tags_on_head(directories)
    if len(found) > 1:
        raise InputError(f"HEAD has several tags: {', '.join(found)}", hint=NAME_A_RELEASE)
    if found:
        note(f"HEAD is tagged {found[0]}, so this is released as {found[0]}; --release= keeps from it")
    return found[0] if found else ""
