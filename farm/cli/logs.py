"""farm logs: print the log of a build."""

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
@click.option("-f", "--follow", "following", is_flag=True, help="Follow the log until the build ends.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Print only the last N lines.")
def command(settings: Settings, run: str, package: str, arch: str, following: bool, last: int | None) -> None:
    """Print the log of one build, such as: farm logs r42 linuxkit/foo s390x."""
    from farm.cli.farm_connection import attached
    from farm.errors import StateError
    from farm.state.logs import follow_log, read_log
    from farm.state.run_handles import RunHandle
    from farm.state.runs import read_run

    with attached(settings) as (_, store):
        handle = RunHandle(store, run)
        record = read_run(handle)
        name = record.find_package(package)
        jobs = record.packages[name].jobs
        if arch not in jobs:
            raise StateError(
                f"run {run} has no build of {package} for {arch}", hint=f"`farm status {run}` lists them"
            )
        job = handle.package(name).job(arch)
        if not following or jobs[arch].state.ended:
            for line in read_log(job, last=last):
                click.echo(line)
            return
        for text in follow_log(job):
            if text is not None:
                click.echo(text)
