"""farm up, down and flower: run a farm on this machine, and its monitor."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import click

from farm.cli.options import attached, with_settings
from farm.cli.output import say

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("up")
@with_settings(
    "broker",
    "engine",
    "concurrency",
    "signing_key",
    "cosign_key",
    "notary_server",
    "notary_ca",
    "sign",
    "flower_port",
)
@click.option("--detach", is_flag=True, help="Run in the background, until `farm down`.")
def up(settings: Settings, detach: bool) -> int:
    """Run workers for all architectures that this machine can build, a publisher and Flower, until Ctrl-C.

    If no broker is set, the farm has its own private Redis, and every other command on this machine with the
    same state directory uses it. If a broker is set, this machine works for that farm. A running farm keeps
    its settings: verbs that need workers are refused with other settings until it is down.
    """
    from farm.private_farm.connect import host_workers
    from farm.private_farm.state_directory import StateDirectory
    from farm.state.workers import workers

    try:
        with host_workers(settings) as (connected, store):
            for worker in workers(store):
                serves = ", ".join((*worker.arches, *(["publish"] if worker.publisher else [])))
                say(f"{worker.name}: {serves}")
            print_login(connected)
            if detach:
                StateDirectory.at(settings.state_dir).stay_up.touch()
                say("the farm is up in the background; stop it: farm down")
                return 0
            say("the farm is up; stop it: Ctrl-C")
            signal.pause()
    except KeyboardInterrupt:
        say("", err=True)
        say("the farm stops when its open runs have ended; to stop it now: farm down", err=True)
    return 0


@click.command("down")
@with_settings("state_dir")
def down(settings: Settings) -> None:
    """Stop the workers and the Redis of the private farm. Open runs continue when it is up again."""
    from farm.private_farm.connect import take_down

    say("the private farm is down" if take_down(settings) else "no private farm was running")


@click.command("flower")
@with_settings("broker", "flower_address", "flower_port", "flower_user")
def flower(settings: Settings) -> int:
    """Serve Flower until Ctrl-C, behind a login; on loopback by default.

    The password is FARM_FLOWER_PASSWORD; if it is not set, one is generated and kept in the state directory.
    """
    from farm.monitor import flower_launch
    from farm.system.programs import stop_with_parent

    flower_launch.check_port(settings)
    with attached(settings) as (connected, _):
        print_login(connected)
        command = stop_with_parent(flower_launch.flower_command())
        with subprocess.Popen(command, env=flower_launch.flower_environment(connected)) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()
                return 0


def print_login(settings: Settings) -> None:
    """Print the URL of Flower, the user, and where its password is, never the password itself."""
    from farm.monitor.flower_launch import flower_password, flower_url

    generated = settings.flower_password is None
    if generated:
        flower_password(settings)
    source = settings.state_dir / "flower.password" if generated else "FARM_FLOWER_PASSWORD"
    say(f"Flower: {flower_url(settings)}  user {settings.flower_user}, password in {source}")
