"""Follow a run: a live table on a terminal, plain lines elsewhere, JSON at the end with --json."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from farm.cli.output import print_answer, print_json, say
from farm.cli.tables import run_table
from farm.errors import OutputError
from farm.model import JobState, PackageState, RunState
from farm.planning.wait_reasons import explain
from farm.state import following
from farm.state.following import RunView
from farm.state.logs import read_log
from farm.state.queue_positions import read_queue_positions
from farm.state.records import arch_of, package_of
from farm.state.runs import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.planning.plan import PackagePlan
    from farm.planning.wait_reasons import Waits
    from farm.state.records import RunRecord
    from farm.state.run_handles import JobHandle, RunHandle
    from farm.state.store import Store

_LOG_LINES = 8
_FRAMES_PER_SECOND = 8
_LINE_SECONDS = 5.0
"""Seconds between two looks at why something waits, where lines are printed."""
_TABLE_SECONDS = 2.0
"""The same for a table."""
# The words for each state; a change to a state without words has no line.
_WORDS = {
    JobState.BUILDING: "building",
    JobState.PUSHING: "pushing",
    JobState.BUILT: "built",
    JobState.EXISTS: "already exists",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def follow(
    run: RunHandle, *, up_to_date: Sequence[PackagePlan] = (), detach: bool = False, as_json: bool = False
) -> int:
    """Show a run until it ends, or only its name; returns the exit code. Ctrl-C does not end the run.

    `up_to_date` are packages that were given with those of the run and had nothing to do.
    """
    if detach:
        print_answer({"run": run.id}, [run.id], as_json=as_json)
        return 0
    try:
        view = _show_progress(run, quiet=as_json)
    except KeyboardInterrupt:
        _print_continues(run)
        return 130
    except OutputError:
        _print_continues(run)
        raise
    record = view.record()
    if as_json:
        print_json(record.to_json() | {"upToDate": [item.to_json() for item in up_to_date]})
    else:
        for item in up_to_date:
            say(f"{item.package.reference.familiar}  {item.why()}")
        print_result(run, record)
    return exit_code(record)


def _print_continues(run: RunHandle) -> None:
    """Print on standard error that a run continues, which is no longer followed."""
    say("", err=True)
    say(f"{run} continues. Follow: farm status -f {run}   Cancel: farm cancel {run}", err=True)


def exit_code(record: RunRecord) -> int:
    """0 for a run that is open or done, else that of its first error."""
    if record.state in (RunState.OPEN, RunState.DONE):
        return 0
    errors = [package.error for package in record.packages.values() if package.error]
    return errors[0].exit_code if errors else 1


def _show_progress(run: RunHandle, *, quiet: bool) -> RunView:
    view = RunView(read_run(run))
    if quiet:
        for _ in following.follow(run, view):
            pass
    elif sys.stdout.isatty():
        _draw_table(run, view)
    else:
        _print_lines(run, view)
    return view


def _print_lines(run: RunHandle, view: RunView) -> None:
    """Print the changes of a run line by line, and once for each job why it waits."""
    looked, printed = time.monotonic(), set()
    for name in following.follow(run, view):
        if name and (line := change_line(view.record(), name)):
            say(line)
        if time.monotonic() - looked < _LINE_SECONDS:
            continue
        looked, record = time.monotonic(), view.record()
        for key, why in why_waiting(run.store, record).items():
            if key not in printed:
                printed.add(key)
                say(f"{time.time() - record.created:6.1f}s  {' '.join(key).strip()}: {why}")


def change_line(record: RunRecord, field: str) -> str | None:
    """The line for a change of the record in `field`, None where it has none."""
    name = package_of(field)
    if field.startswith("P "):
        package = record.packages[name]
        if package.state is PackageState.BUILDING:
            return None
        return f"{package.at - record.created:6.1f}s  {name}: {package.state}"
    if field.startswith("J "):
        job = record.packages[name].jobs[arch_of(field)]
        words = _WORDS.get(job.state)
        where = f" on {job.worker}" if job.state is JobState.BUILDING and job.worker else ""
        return f"{job.at - record.created:6.1f}s  {name} {job.arch}: {words}{where}" if words else None
    return None


def _draw_table(run: RunHandle, view: RunView) -> None:
    from rich.live import Live

    from farm.cli.tables import rich_table

    waits = why_waiting(run.store, view.record())
    first = rich_table(run_table(view.record(), time.time(), waits))
    with ExitStack() as stack:
        live = Live(first, auto_refresh=False)
        # Not `with live`: a signal may come when it has hidden the cursor and not entered the block yet.
        stack.callback(live.console.show_cursor)
        stack.callback(live.stop)
        live.start(refresh=True)
        drawn = looked = 0.0
        for _ in following.follow(run, view):
            if time.monotonic() - drawn < 1 / _FRAMES_PER_SECOND:
                continue
            drawn = time.monotonic()
            if drawn - looked > _TABLE_SECONDS:
                waits, looked = why_waiting(run.store, view.record()), drawn
            record = view.record()
            still_waiting = {key: why for key, why in waits.items() if key in explain(record, {})}
            live.update(rich_table(run_table(record, time.time(), still_waiting)), refresh=True)
        live.update(rich_table(run_table(view.record(), time.time(), {})))


def why_waiting(store: Store, record: RunRecord) -> Waits:
    """The reasons of the packages and jobs of a run that wait."""
    return explain(record, read_queue_positions(store, record))


def print_result(run: RunHandle, record: RunRecord) -> None:
    """Print how a run ended: what was published, and the error and last log lines of what failed."""
    for package in record.packages.values():
        if package.index:
            say(f"{package.reference}  {package.state}  {package.index.digest}")
    for package in record.packages.values():
        if not package.state.succeeded and package.error:
            for job in package.jobs.values():
                if job.error and job.started:
                    _print_log(run.package(package.package).job(job.arch))
            say(f"{package.state}: {package.error}", err=True)
    say(f"run {record.id}: {record.state}, {(record.finished or time.time()) - record.created:.1f} s")


def _print_log(job: JobHandle) -> None:
    lines = read_log(job, last=_LOG_LINES)
    if lines:
        say(f"--- the last lines of {job}", err=True)
    for line in lines:
        say(f"    {line}", err=True)
