"""farm logs: what a build printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("logs")
@click.argument("run")
@click.argument("package")
@click.argument("arch")
@with_settings("broker")
@click.option("-f", "--follow", "following", is_flag=True, help="Stay until the build ends.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N lines.")
def command(settings: Settings, run: str, package: str, arch: str, following: bool, last: int | None) -> None:
    """Print the log of one build, such as: farm logs r42 linuxkit/foo s390x."""
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis is slow to import
    from farm.errors import StateError  # noqa: PLC0415
    from farm.state.handles import RunHandle  # noqa: PLC0415
    from farm.state.logs import follow_log, read_log  # noqa: PLC0415
    from farm.state.run_reader import read_run  # noqa: PLC0415

    with attached(settings) as (_, store):
        handle = RunHandle(store, run)
        record = read_run(handle)
        name, packages = record.find_package(package), record.packages
        job = handle.package(name).job(arch)
        if arch not in packages[name].jobs:
            raise StateError(
                f"run {run} has no build of {package} for {arch}", hint=f"`farm status {run}` lists them"
            )
        if not following or packages[name].jobs[arch].state.ended:
            for line in read_log(job, last=last):
                click.echo(line)
            return
        for text in follow_log(job):
            if text is not None:
                click.echo(text)
