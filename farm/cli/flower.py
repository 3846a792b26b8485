"""farm flower: run Flower, a web page of tasks, workers and queues."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("flower")
@with_settings("broker", "flower_address", "flower_port", "flower_user")
def command(settings: Settings) -> int:
    """Serve Flower until Ctrl-C, behind a login; on loopback by default.

    The password is FARM_FLOWER_PASSWORD; if it is not set, one is generated and kept in the state directory.
    """
    from farm.cli.farm_connection import attached
    from farm.monitor import flower_launch
    from farm.system.processes import stop_with_parent

    flower_launch.check_port(settings)
    with attached(settings) as (connected, _):
        print_login(connected)
        command = stop_with_parent(flower_launch.flower_command())
        with subprocess.Popen(command, env=flower_launch.flower_environment(connected)) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                return 0


def print_login(settings: Settings) -> None:
    """Print the URL of Flower, the user, and where its password is, never the password itself."""
    from farm.monitor.flower_launch import flower_password, flower_url

    generated = settings.flower_password is None
    if generated:
        flower_password(settings)
    source = settings.state_dir / "flower.password" if generated else "FARM_FLOWER_PASSWORD"
    click.echo(f"Flower: {flower_url(settings)}  user {settings.flower_user}, password in {source}")
