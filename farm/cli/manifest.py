"""farm manifest: publish and sign the index of images that exist in the registry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, tag_options, with_settings
from farm.cli.push import push_plan
from farm.cli.push_flags import publish_options

if TYPE_CHECKING:
    from farm.package.tags import TagOptions
    from farm.planning.plan import PushOptions
    from farm.settings import Settings


@click.command("manifest")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "arches", "sign", "broker", "notary_server", "notary_ca", "signing_key")
@tag_options
@publish_options
@json_option
def command(
    settings: Settings, directories: tuple[str, ...], tags: TagOptions, options: PushOptions, as_json: bool
) -> int:
    """Publish and sign the index of each package's existing NAME:HASH-ARCH images. Builds nothing.

    Includes images of architectures that build.yml does not list.
    """
    return publish_existing_images(directories, tags, settings, options, as_json=as_json)


def publish_existing_images(
    directories: tuple[str, ...],
    tags: TagOptions,
    settings: Settings,
    options: PushOptions,
    *,
    as_json: bool = False,
) -> int:
    """Publish the indexes of images that exist; returns the exit code."""
    from farm.planning.prepare_plan import plan_existing_images

    started = time.monotonic()
    plan = plan_existing_images(directories, tags, settings, options)
    return push_plan(plan, settings, started, partial=options.partial, as_json=as_json)
