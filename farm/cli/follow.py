"""Follow a run: a live table on a terminal, plain lines elsewhere, JSON at the end with --json."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from farm.cli.live_table import live_table, totals
from farm.cli.output import print_answer, print_json, say
from farm.errors import OutputError
from farm.model import JobState, PackageState, Reference, RunState
from farm.planning.expectations import read_expectations
from farm.planning.forecast import forecast, shared
from farm.planning.wait_reasons import explain
from farm.state import following
from farm.state.following import RunView
from farm.state.logs import read_log
from farm.state.queue_positions import read_queue_positions
from farm.state.records import arch_of, package_of
from farm.state.runs import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table as RichTable

    from farm.planning.plan import PackagePlan
    from farm.planning.wait_reasons import Waits
    from farm.state.records import RunRecord
    from farm.state.run_handles import JobHandle, RunHandle
    from farm.state.store import Store

_LOG_LINES = 8
_FRAMES_PER_SECOND = 4
_LINE_SECONDS = 5.0
"""Seconds between two looks at why something waits, where lines are printed."""
_TABLE_SECONDS = 2.0
"""The same for a table."""
_TOTALS_SECONDS = 30.0
"""The same for a large run, of which lines have only the totals."""
_REST = 20.0
"""Seconds between two looks for each second that one takes."""
_MOST_EXPLAINED = 50
"""Packages of a run whose jobs' reasons are printed as lines."""
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
    """Print the changes of a run line by line, and why jobs wait; of a large run the totals instead."""
    look, printed = _Looks(run.store, _LINE_SECONDS), set()
    for name in following.follow(run, view):
        record = view.live()
        if name and (line := change_line(record, name)):
            say(line)
        if not look.due():
            continue
        seconds = f"{time.time() - record.created:6.1f}s"
        if len(record.packages) > _MOST_EXPLAINED:
            look.seconds = _TOTALS_SECONDS
            look.look(record)
            say(f"{seconds}  {totals(view, record, look.left)}")
            continue
        look.look(record)
        for key, why in look.waits.items():
            if key not in printed:
                printed.add(key)
                say(f"{seconds}  {' '.join(key).strip()}: {why}")


class _Looks:
    """Why things wait, looked at from time to time: rarely if that takes long, as for a large run."""

    def __init__(self, store: Store, seconds: float) -> None:
        self.seconds = seconds
        self.waits: Waits = {}
        self.left: float | None = None
        """Seconds until the run will end, if earlier builds are known."""
        self._store, self._last, self._took = store, time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() - self._last > max(self.seconds, self._took * _REST)

    def look(self, record: RunRecord) -> None:
        """Look at why things wait."""
        self._last = time.monotonic()
        self.waits, self.left = waits_and_end(self._store, record)
        self._took = time.monotonic() - self._last


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

    looks = _Looks(run.store, _TABLE_SECONDS)
    looks.look(view.live())

    def drawn() -> RichTable:
        height = live.console.size.height
        return rich_table(live_table(view, time.time(), looks.waits, height=height, left=looks.left))

    with ExitStack() as stack:
        live = Live(auto_refresh=False)
        # Not `with live`: a signal may come when it has hidden the cursor and not entered the block yet.
        stack.callback(live.console.show_cursor)
        stack.callback(live.stop)
        live.update(drawn())
        live.start(refresh=True)
        last = 0.0
        for _ in following.follow(run, view):
            if time.monotonic() - last < 1 / _FRAMES_PER_SECOND:
                continue
            last = time.monotonic()
            if looks.due():
                looks.look(view.live())
            live.update(drawn(), refresh=True)
        looks.waits, looks.left = {}, None
        live.update(drawn())


def why_waiting(store: Store, record: RunRecord) -> Waits:
    """The reasons of the packages and jobs of a run that wait, and when they will probably start."""
    return waits_and_end(store, record)[0]


def waits_and_end(store: Store, record: RunRecord) -> tuple[Waits, float | None]:
    """The same, and the seconds until the run will end; None if no earlier build is known."""
    lines = read_queue_positions(store, record)
    if not any(line.durations for line in lines.values()):
        return explain(record, lines), None
    images = [
        (Reference.parse(package.reference).name, arch)
        for package in record.packages.values()
        for arch in package.jobs
        if not package.state.ended
    ]
    slots = shared(
        {arch: line.slots for arch, line in lines.items()},
        {arch: line.submitters for arch, line in lines.items()},
    )
    found = forecast(record, read_expectations(store, images), slots, time.time())
    starts = {(package, arch): seconds for (_, package, arch), seconds in found.starts.items()}
    left = sum(not package.state.ended for package in record.packages.values())
    return explain(record, lines, starts), max(found.ends.values()) if len(found.ends) == left else None


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
