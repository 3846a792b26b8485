"""farm up: run a farm on this machine."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("up")
@with_settings(
    "broker", "engine", "concurrency", "signing_key", "notary_server", "notary_ca", "sign", "flower_port"
)
@click.option("--detach", is_flag=True, help="Run in the background, until `farm down`.")
def command(settings: Settings, detach: bool) -> int:
    """Run workers for all architectures that this machine can build, a publisher and Flower, until Ctrl-C.

    If no broker is set, the farm has its own private Redis, and every other command on this machine with the
    same state directory uses it. If a broker is set, this machine works for that farm. A running farm keeps
    its settings: verbs that need workers are refused with other settings until it is down.
    """
    from farm.cli.flower import print_login
    from farm.private_farm.connect import host_workers
    from farm.private_farm.state_directory import StateDirectory
    from farm.state.workers import workers

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with host_workers(settings) as (connected, store):
            for worker in workers(store):
                serves = ", ".join((*worker.arches, *(["publish"] if worker.publisher else [])))
                click.echo(f"{worker.name}: {serves}")
            print_login(connected)
            if detach:
                StateDirectory.at(settings.state_dir).stay_up.touch()
                click.echo("the farm is up in the background; stop it: farm down")
                return 0
            click.echo("the farm is up; stop it: Ctrl-C")
            signal.pause()
    except KeyboardInterrupt:
        click.echo("\nthe farm stops when its open runs have ended; to stop it now: farm down", err=True)
    return 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
