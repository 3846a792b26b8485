"""farm workers: who is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, with_settings

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("workers")
@with_settings("broker")
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """List the workers that are up: what each builds, its engine, its slots, when it was last heard."""
    from farm.local.attach import attached  # noqa: PLC0415 - Redis is slow to import
    from farm.state.workers import workers  # noqa: PLC0415

    with attached(settings) as (_, store):
        present = workers(store)
    if as_json:
        print_json([worker.to_json() for worker in present])
        return
    if not present:
        click.echo("no workers are up; start one: farm worker")
    for worker in present:
        serves = ", ".join((*worker.arches, *(["publish"] if worker.publisher else [])))
        emulated = f" (emulates {', '.join(worker.emulated)})" if worker.emulated else ""
        seen = max(0.0, time.time() - worker.seen)
        engine = f"engine {worker.engine}" if worker.engine else "no engine"
        click.echo(
            f"{worker.name:<28} {serves}{emulated}  {worker.slots} slots  {engine}  heard {seen:.0f} s ago"
        )
