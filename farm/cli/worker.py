"""farm worker: build for an architecture, or publish."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, with_settings
from farm.errors import InputError, NoWorkerError, SettingsError

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("worker")
@click.option(
    "--arch", "arches", multiple=True, metavar="ARCH", help="Build for it; by default the engine's own."
)
@click.option("--publish", is_flag=True, help="Publish and sign; with no --arch, build nothing.")
@click.option("--name", help="Name of the worker; by default ARCH@HOST.")
@click.option(
    "--check", is_flag=True, help="Start none: exit with 0 if this machine's workers (or NAME) are alive."
)
@json_option
@with_settings(
    "broker", "engine", "emulate", "concurrency", "notary_server", "notary_ca", "signing_key", "sign"
)
@click.pass_context
def command(
    ctx: click.Context,
    settings: Settings,
    arches: tuple[str, ...],
    publish: bool,
    name: str | None,
    check: bool,
    as_json: bool,
) -> None:
    """Serve a farm from this machine until stopped.

    Architecture workers need a Docker Engine and a registry login that may push; the publisher alone needs
    the signing key. SIGTERM and Ctrl-C let the build in hand finish; a second one stops it, and gives the job
    back to its queue, as SIGQUIT does at once.

    \b
    FARM_BROKER=rediss://farm.example.org farm worker
    FARM_BROKER=rediss://farm.example.org farm worker --publish --signing-key key.pem
    """
    from farm.private_farm.child_processes import worker_command  # noqa: PLC0415 - only this verb starts one
    from farm.settings import child_environment  # noqa: PLC0415

    if settings.broker is None:
        raise SettingsError("a worker needs a farm to work for", hint="set FARM_BROKER=redis://HOST:6379/0")
    if check:
        _check(settings, name, as_json=as_json)
        return
    if as_json:
        raise InputError("--json: is for --check; a worker writes a log")
    words = worker_command(
        [arch for given in arches for arch in given.split(",")],
        publish=publish,
        name=name,
        debug=ctx.obj.debug,
    )
    os.execvpe(words[0], words, child_environment(settings))  # noqa: S606 - the worker takes this process's place, and its signals


def _check(settings: Settings, name: str | None, *, as_json: bool) -> None:
    """Print how the workers of that name, or else of this machine, are.

    Raises:
        NoWorkerError: there is none, or one is silent.
    """
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis is slow to import
    from farm.state.workers import known_workers  # noqa: PLC0415
    from farm.system.identity import host_name  # noqa: PLC0415

    with attached(settings) as (_, store):
        known = known_workers(store)
    own = [worker for worker in known if (worker.name == name if name else worker.host == host_name())]
    alive = bool(own) and all(worker.live for worker in own)
    if as_json and alive:
        print_json([worker.to_json() for worker in own])
    for worker in own if not as_json else ():
        trouble = f", {worker.trouble}" if worker.trouble else ""
        click.echo(f"{worker.name}: {worker.state}{trouble}")
    if not alive:
        dead = ", ".join(worker.name for worker in own if not worker.live)
        raise NoWorkerError(
            f"{dead} gives no sign of life" if dead else f"no worker {name or 'of this machine'} is up",
            hint="see its log",
        )
