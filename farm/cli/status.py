"""farm status: list runs, or show one run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json
from farm.cli.table import print_table

if TYPE_CHECKING:
    from farm.planning.wait_reasons import Waits
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle


@click.command("status")
@click.argument("run", required=False)
@with_settings("broker")
@click.option("-f", "--follow", "following", is_flag=True, help="Follow the run until it ends.")
@json_option
def command(settings: Settings, run: str | None, following: bool, as_json: bool) -> int:
    """List the newest runs, or show one run: each package, each architecture, and why something failed.

    -f without RUN follows the newest run.
    """
    from farm.cli.farm_connection import attached
    from farm.cli.follow import follow
    from farm.state.run_handles import RunHandle
    from farm.state.runs import list_runs

    with attached(settings) as (_, store):
        rows = [] if run else list_runs(store)
        if following and not run and rows:
            run = str(rows[0]["run"])
        if run is None:
            print_json(rows) if as_json else _print_runs(rows)
            return 0
        if following:
            return follow(RunHandle(store, run), as_json=as_json)
        return _show_run(RunHandle(store, run), as_json=as_json)


def _show_run(run: RunHandle, *, as_json: bool) -> int:
    from farm.cli.follow import exit_code, print_result, why_waiting
    from farm.cli.run_table import run_table
    from farm.state.runs import read_run

    record = read_run(run)
    waits = why_waiting(run.store, record)
    if as_json:
        print_json(_with_reasons(record.to_json(), waits))
    else:
        print_table(run_table(record, time.time(), waits))
        print_result(run, record)
    return exit_code(record)


def _with_reasons(data: dict[str, Any], waits: Waits) -> dict[str, Any]:
    """A run's JSON, in which each package and job says why it waits."""
    for package in data["packages"]:
        package["waits"] = waits.get((package["package"], ""))
        for job in package["jobs"]:
            job["waits"] = waits.get((package["package"], job["arch"]))
    return data


def _print_runs(rows: list[dict[str, Any]]) -> None:
    if not rows:
        click.echo("no runs yet; start one: farm push DIR")
    for row in rows:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["created"]))
        seconds = f"{(row['finished'] or time.time()) - row['created']:.0f} s"
        summary = f"{row['run']:<6} {row['state']:<10} {row['packages']:>4} packages"
        click.echo(f"{summary}  {started}  {seconds:>7}  {row['submitter']}")
