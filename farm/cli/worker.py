"""farm worker: run a worker, which builds for an architecture or publishes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json
from farm.errors import InputError, NoWorkerError, SettingsError

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("worker")
@click.option(
    "--arch", "arches", multiple=True, metavar="ARCH", help="Build for ARCH. Default: the engine's own."
)
@click.option("--publish", is_flag=True, help="Publish and sign; without --arch, build nothing.")
@click.option("--name", help="Name of the worker. Default: ARCH@HOST.")
@click.option(
    "--check",
    is_flag=True,
    help="Start no worker; exit with 0 if the workers of this machine, or NAME, are alive.",
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
    """Run a worker for a farm until it is stopped.

    A worker for an architecture needs a Docker Engine and a registry login that may push; a publisher needs
    the signing key. On SIGTERM or Ctrl-C the builds in progress are finished. A second signal, or SIGQUIT,
    stops them at once and returns their jobs to the queue.

    \b
    FARM_BROKER=rediss://farm.example.org farm worker
    FARM_BROKER=rediss://farm.example.org farm worker --publish --signing-key key.pem
    """
    from farm.private_farm.child_processes import worker_command
    from farm.settings import child_environment

    if settings.broker is None:
        raise SettingsError("a worker needs a broker", hint="set FARM_BROKER=redis://HOST:6379/0")
    if check:
        _check(settings, name, as_json=as_json)
        return
    if as_json:
        raise InputError("--json: only with --check; a worker writes a log")
    words = worker_command(
        [arch for given in arches for arch in given.split(",")],
        publish=publish,
        name=name,
        debug=ctx.obj.debug,
    )
    os.execvpe(words[0], words, child_environment(settings))  # noqa: S606 - the worker takes over this process and its signals


def _check(settings: Settings, name: str | None, *, as_json: bool) -> None:
    """Print the states of the workers of that name, or of this machine.

    Raises:
        NoWorkerError: there is none, or one is silent.
    """
    from farm.cli.farm_connection import attached
    from farm.state.workers import known_workers
    from farm.system.identity import host_name

    with attached(settings) as (_, store):
        known = known_workers(store)
    checked = [worker for worker in known if (worker.name == name if name else worker.host == host_name())]
    silent = [worker.name for worker in checked if not worker.live]
    alive = bool(checked) and not silent
    if as_json and alive:
        print_json([worker.to_json() for worker in checked])
    for worker in checked if not as_json else ():
        trouble = f", {worker.trouble}" if worker.trouble else ""
        click.echo(f"{worker.name}: {worker.state}{trouble}")
    if not alive:
        missing = f"no worker {name or 'of this machine'} is up"
        raise NoWorkerError(
            f"{', '.join(silent)} missed its heartbeats" if silent else missing, hint="see its log"
        )
