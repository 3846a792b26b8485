"""farm flower: watch tasks, workers and queues in a browser."""

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
    """Serve Flower until Ctrl-C, on loopback unless told otherwise, behind a login.

    The password is FARM_FLOWER_PASSWORD, or one that is made once and kept in the state directory.
    """
    from farm.cli.connect import attached  # noqa: PLC0415
    from farm.monitor import flower_launch  # noqa: PLC0415 - Redis is slow to import
    from farm.system.processes import stop_with_parent  # noqa: PLC0415

    flower_launch.check_port(settings)
    with attached(settings) as (connected, _):
        tell_login(connected)
        command = stop_with_parent(flower_launch.flower_command())
        with subprocess.Popen(command, env=flower_launch.flower_environment(connected)) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                return 0


def tell_login(settings: Settings) -> None:
    """Say where Flower is and how to get in, without showing a password that the user has chosen."""
    from farm.monitor.flower_launch import flower_password, flower_url  # noqa: PLC0415 - beside its one use

    made = settings.flower_password is None
    if made:
        flower_password(settings)
    where = settings.state_dir / "flower.password" if made else "FARM_FLOWER_PASSWORD"
    click.echo(f"Flower: {flower_url(settings)}  user {settings.flower_user}, password in {where}")
