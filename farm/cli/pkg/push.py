"""farm pkg push."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.cli.manifest import publish_existing_images
from farm.cli.output import print_note
from farm.cli.pkg.build_flags import BUILD_FLAGS
from farm.cli.pkg.flag_checks import check_build_flags, check_push_flags, note_build_only_flags
from farm.cli.pkg.push_cached import push_cached
from farm.cli.pkg.verb import pkg_verb
from farm.cli.plan import print_plan
from farm.cli.push import push_plan
from farm.cli.push_flags import make_push_options
from farm.errors import InputError

if TYPE_CHECKING:
    from farm.cli.pkg.request import PkgRequest


@pkg_verb("push", *BUILD_FLAGS)
def command(request: PkgRequest) -> int:
    """Build what is missing for every architecture, publish each package's index, and sign it: farm push.

    \b
    farm pkg push -org=wombat -disable-content-trust pkg/foo
    farm pkg push --manifest=false pkg/foo               only the images
    farm pkg push --image=false --manifest pkg/foo       only the index
    """
    check_build_flags(request.flags)
    return push(request)


def push(request: PkgRequest) -> int:
    """Push as the flags say; returns the exit code."""
    flags = request.flags
    check_push_flags(flags)
    if flags.sign is False:
        request = replace(request, settings=replace(request.settings, sign=False))
    release = "" if flags.manifest is False else _release(request)
    return _push_existing(request, release) if flags.builds_nothing else _build_and_push(request, release)


def _push_existing(request: PkgRequest, release: str) -> int:
    """Push the cache's images, unless --image=false, and publish the index, unless --manifest=false."""
    from farm.planning.prepare_plan import plan_existing_images

    flags = request.flags
    note_build_only_flags(flags)
    pushed = {} if flags.image is False else push_cached(request)
    if flags.manifest is False:
        return 0
    options = make_push_options(request.settings, partial=True, release=release)
    options = replace(options, skip=request.skipped)
    if flags.is_dry_run:
        print_plan(plan_existing_images(request.directories, request.tags, request.settings, options, pushed))
        return 0
    return publish_existing_images(request.directories, request.tags, request.settings, options)


def _build_and_push(request: PkgRequest, release: str) -> int:
    from farm.planning.prepare_plan import prepare

    started = time.monotonic()
    options = replace(
        make_push_options(request.settings, force=bool(request.flags.force), release=release),
        platforms=request.platforms,
        skip=request.skipped,
        images_only=request.flags.manifest is False,
    )
    plan = prepare(request.directories, request.tags, request.settings, options)
    if request.flags.is_dry_run:
        print_plan(plan)
        return 0
    return push_plan(plan, request.settings, started)


def _release(request: PkgRequest) -> str:
    """The tag of --release, else the git tag on HEAD, as with linuxkit; "" for none.

    Raises:
        InputError: HEAD has several tags.
    """
    from farm.package.git import NAME_A_RELEASE, tags_on_head

    given = request.flags.release
    if given is not None or request.tags.other_commit:
        return given or ""
    tags = tags_on_head(request.directories)
    if len(tags) > 1:
        raise InputError(f"HEAD has several tags: {', '.join(tags)}", hint=NAME_A_RELEASE)
    if tags:
        print_note(f"HEAD is tagged {tags[0]}: released as {tags[0]}; --release= prevents that")
    return tags[0] if tags else ""
