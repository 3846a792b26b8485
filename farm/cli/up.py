"""farm up: keep a farm up on this machine."""

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
@click.option("--detach", is_flag=True, help="Leave it up, until `farm down`.")
def command(settings: Settings, detach: bool) -> int:
    """Keep workers for all that this machine can build, a publisher and Flower up, until Ctrl-C.

    With no broker set, the farm has its own private Redis, and every other command on this machine with the
    same state directory uses it. With a broker, this machine works for that farm. A farm that is up keeps its
    settings: with others, the verbs that need workers are refused until it is down.
    """
    from farm.cli.flower import tell_login  # noqa: PLC0415 - Redis is slow to import
    from farm.private_farm.connect import host_workers, stay_up  # noqa: PLC0415
    from farm.state.workers import workers  # noqa: PLC0415

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with host_workers(settings) as (connected, store):
            for worker in workers(store):
                serves = ", ".join((*worker.arches, *(["publish"] if worker.publisher else [])))
                click.echo(f"{worker.name}: {serves}")
            tell_login(connected)
            if detach:
                stay_up(settings)
                click.echo("the farm stays up; farm down ends it")
                return 0
            click.echo("the farm is up; Ctrl-C ends it")
            signal.pause()
    except KeyboardInterrupt:
        click.echo("\nthe farm ends once its open runs have ended; farm down ends it now", err=True)
    return 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
