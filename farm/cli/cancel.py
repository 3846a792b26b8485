"""farm cancel: cancel a run, or a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("cancel")
@click.argument("run")
@click.argument("package", required=False)
@with_settings("broker")
@click.option("--arch", metavar="ARCH", help="Cancel only the builds for this architecture.")
@json_option
def command(settings: Settings, run: str, package: str | None, arch: str | None, as_json: bool) -> None:
    """Cancel everything in RUN that has not ended, or only one PACKAGE of it.

    Queued builds never start, and running builds are stopped. Images that were pushed remain, and the next
    push of the same packages uses them. The dependents of a cancelled package are cancelled too. If the
    command is interrupted, run it again to finish.

    \b
    farm cancel r42
    farm cancel r42 linuxkit/foo --arch s390x
    """
    from farm.cli.farm_connection import attached
    from farm.scheduling.cancel import cancel
    from farm.state.run_handles import RunHandle
    from farm.system.identity import user_at_host

    with attached(settings) as (_, store):
        done = cancel(RunHandle(store, run), package=package, arch=arch, by=user_at_host())
    if as_json:
        jobs = [{"package": name, "arch": arch} for name, arch in done.jobs]
        print_json({"run": run, "packages": list(done.packages), "jobs": jobs})
    elif not done.packages and not done.jobs:
        click.echo(f"{run}: nothing to cancel: everything had ended")
    else:
        click.echo(f"{run}: cancelled {_count(done.packages, 'package')}, {_count(done.jobs, 'build')}")


def _count(things: tuple[object, ...], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
