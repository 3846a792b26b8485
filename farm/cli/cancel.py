"""farm cancel: end a run, or a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("cancel")
@click.argument("run")
@click.argument("package", required=False)
@with_settings("broker")
@click.option("--arch", metavar="ARCH", help="Only this architecture's builds; the others go on.")
@json_option
def command(settings: Settings, run: str, package: str | None, arch: str | None, as_json: bool) -> None:
    """End all that has not ended of RUN, or of one PACKAGE of it.

    Queued builds never start, running ones are stopped in their engine. Images that were pushed stay, and
    the next push of the same packages finds them. What needs a cancelled package is cancelled with it.
    Where the command is cut off, the same again finishes it.

    \b
    farm cancel r42
    farm cancel r42 linuxkit/foo --arch s390x
    """
    from farm.cli.connect import attached  # noqa: PLC0415
    from farm.scheduling.cancel import cancel  # noqa: PLC0415 - Celery and Redis are slow to import
    from farm.state.handles import RunHandle  # noqa: PLC0415
    from farm.system.identity import user_at_host  # noqa: PLC0415

    with attached(settings) as (_, store):
        done = cancel(RunHandle(store, run), package=package, arch=arch, by=user_at_host())
    if as_json:
        jobs = [{"package": name, "arch": arch} for name, arch in done.jobs]
        print_json({"run": run, "packages": list(done.packages), "jobs": jobs})
    elif not done.packages and not done.jobs:
        click.echo(f"{run}: all of it had ended already")
    else:
        click.echo(f"{run}: cancelled {_count(done.packages, 'package')}, {_count(done.jobs, 'build')}")


def _count(things: tuple[object, ...], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
