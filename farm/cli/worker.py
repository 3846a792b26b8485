"""farm worker: build for an architecture, or publish."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings
from farm.errors import SettingsError

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("worker")
@click.option(
    "--arch", "arches", multiple=True, metavar="ARCH", help="Build for it; by default the engine's own."
)
@click.option("--publish", is_flag=True, help="Publish and sign; with no --arch, build nothing.")
@click.option("--name", help="Name of the worker; by default ARCH@HOST.")
@with_settings(
    "broker", "engine", "emulate", "concurrency", "notary_server", "notary_ca", "signing_key", "sign"
)
@click.pass_context
def command(
    ctx: click.Context, settings: Settings, arches: tuple[str, ...], publish: bool, name: str | None
) -> None:
    """Serve a farm from this machine until stopped.

    Architecture workers need a Docker Engine and a registry login that may push; the publisher alone needs
    the signing key. SIGTERM and Ctrl-C let the build in hand finish; a second one ends it.

    \b
    FARM_BROKER=rediss://farm.example.org farm worker
    FARM_BROKER=rediss://farm.example.org farm worker --publish --signing-key key.pem
    """
    from farm.local.processes import worker_command  # noqa: PLC0415 - only this verb starts one
    from farm.settings import child_environment  # noqa: PLC0415

    if settings.broker is None:
        raise SettingsError("a worker needs a farm to work for", hint="set FARM_BROKER=redis://HOST:6379/0")
    words = worker_command(
        [arch for given in arches for arch in given.split(",")],
        publish=publish,
        name=name,
        debug=ctx.obj.debug,
    )
    os.execvpe(words[0], words, child_environment(settings))  # noqa: S606 - the worker takes this process's place, and its signals
