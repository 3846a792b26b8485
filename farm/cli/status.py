"""farm status: runs, or one of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, print_json, with_settings

if TYPE_CHECKING:
    from farm.planning.explain import Waits
    from farm.settings import Settings


@click.command("status")
@click.argument("run", required=False)
@with_settings("broker")
@click.option("-f", "--follow", "following", is_flag=True, help="Stay until the run ends.")
@json_option
def command(settings: Settings, run: str | None, following: bool, as_json: bool) -> int:
    """Show the newest runs, or one run: each package, each architecture, and why something failed.

    With -f and no RUN: follow the newest.
    """
    from farm.cli.connect import attached  # noqa: PLC0415 - Redis and rich are slow to import
    from farm.cli.follow import exit_code, follow, report, why_waiting  # noqa: PLC0415
    from farm.cli.run_table import draw  # noqa: PLC0415
    from farm.state.handles import RunHandle  # noqa: PLC0415
    from farm.state.run_reader import read_run  # noqa: PLC0415
    from farm.state.runs import list_runs  # noqa: PLC0415

    with attached(settings) as (_, store):
        rows = [] if run else list_runs(store)
        if following and not run and rows:
            run = str(rows[0]["run"])
        if run is None:
            print_json(rows) if as_json else _show(rows)
            return 0
        handle = RunHandle(store, run)
        if following:
            return follow(handle, as_json=as_json)
        record = read_run(handle)
        waits = why_waiting(store, record)
        if as_json:
            print_json(_with_reasons(record.to_json(), waits))
            return exit_code(record)
        from rich.console import Console  # noqa: PLC0415 - not for JSON

        Console().print(draw(record, time.time(), waits))
        report(handle, record)
        return exit_code(record)


def _with_reasons(data: dict[str, Any], waits: Waits) -> dict[str, Any]:
    """A run's JSON, in which each package and job says why it waits."""
    for package in data["packages"]:
        package["waits"] = waits.get((package["package"], ""))
        for job in package["jobs"]:
            job["waits"] = waits.get((package["package"], job["arch"]))
    return data


def _show(rows: list[dict[str, Any]]) -> None:
    if not rows:
        click.echo("no runs yet; farm push DIR makes one")
    for row in rows:
        ended = row["finished"] or time.time()
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["created"]))
        took = f"{ended - row['created']:.0f} s"
        what = f"{row['run']:<6} {row['state']:<10} {row['packages']:>4} packages"
        click.echo(f"{what}  {begun}  {took:>7}  {row['submitter']}")
