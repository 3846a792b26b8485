"""The verbs about runs: farm status, logs, cancel and retry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import attached, json_option, with_settings
from farm.cli.output import print_answer, print_json, say
from farm.cli.tables import print_table
from farm.errors import StateError
from farm.state.run_names import find_run

if TYPE_CHECKING:
    from farm.model import Run
    from farm.planning.wait_reasons import Waits
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle


@click.command("status")
@click.argument("run", required=False)
@with_settings("broker")
@click.option("-f", "--follow", "following", is_flag=True, help="Follow the run until it ends.")
@json_option
def status(settings: Settings, run: str | None, following: bool, as_json: bool) -> int:
    """List the newest runs and all open ones, or show RUN: each package, each architecture, why it failed.

    -f without RUN follows the newest run.
    """
    from farm.cli.follow import follow
    from farm.state.run_list import list_runs

    with attached(settings) as (_, store):
        rows = [] if run else list_runs(store)
        if following and not run and rows:
            run = str(rows[0]["run"])
        if run is None:
            print_json(rows) if as_json else _print_runs(rows)
            return 0
        if following:
            return follow(find_run(store, run), as_json=as_json)
        return _show_run(find_run(store, run), as_json=as_json)


def _show_run(run: RunHandle, *, as_json: bool) -> int:
    from farm.cli.follow import exit_code, print_result, why_waiting
    from farm.cli.tables import run_table
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
        say("no runs yet; start one: farm push DIR")
    for row in rows:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["created"]))
        seconds = f"{(row['finished'] or time.time()) - row['created']:.0f} s"
        summary = f"{row['run']:<10} {row['state']:<10} {row['packages']:>4} packages"
        say(f"{summary}  {started}  {seconds:>7}  {row['submitter']}")


@click.command("logs")
@click.argument("run")
@click.argument("package")
@click.argument("arch")
@with_settings("broker")
@click.option("-f", "--follow", "following", is_flag=True, help="Follow the log until the build ends.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Print only the last N lines.")
def logs(settings: Settings, run: str, package: str, arch: str, following: bool, last: int | None) -> None:
    """Print the log of one build, such as: farm logs r42-k3f9 linuxkit/foo s390x."""
    from farm.state.logs import follow_log, read_log
    from farm.state.runs import read_run

    with attached(settings) as (_, store):
        handle = find_run(store, run)
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
                say(line)
            return
        for text in follow_log(job):
            if text is not None:
                say(text)


@click.command("cancel")
@click.argument("run")
@click.argument("package", required=False)
@with_settings("broker")
@click.option("--arch", metavar="ARCH", help="Cancel only the builds for this architecture.")
@json_option
def cancel(settings: Settings, run: str, package: str | None, arch: str | None, as_json: bool) -> None:
    """Cancel everything in RUN that has not ended, or only one PACKAGE of it.

    Queued builds never start, and running builds are stopped. Images that were pushed remain, and the next
    push of the same packages uses them. The dependents of a cancelled package are cancelled too. If the
    command is interrupted, run it again to finish. A run of which Redis lost a part is closed.

    \b
    farm cancel r42-k3f9
    farm cancel r42-k3f9 linuxkit/foo --arch s390x
    """
    from farm.scheduling.cancel import cancel as cancel_run
    from farm.system.identity import user_at_host

    with attached(settings) as (_, store):
        done = cancel_run(find_run(store, run), package=package, arch=arch, by=user_at_host())
    jobs = [{"package": name, "arch": arch} for name, arch in done.jobs]
    line = f"cancelled {_count(done.packages, 'package')}, {_count(done.jobs, 'build')}"
    if not done.packages and not done.jobs:
        line = "nothing to cancel: everything had ended"
    if done.damaged:
        line = f"closed; {done.damaged.message}"
    data = {"run": run, "packages": list(done.packages), "jobs": jobs}
    print_answer(data, [f"{run}: {line}"], as_json=as_json)


def _count(things: tuple[object, ...], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


@click.command("retry")
@click.argument("run")
@click.argument("packages", nargs=-1, metavar="[PACKAGE]...")
@with_settings("broker")
@click.option("--detach", is_flag=True, help="Submit the new run, print its name, and exit.")
@click.option("--queue-anyway", is_flag=True, help="Submit even if an architecture has no worker.")
@json_option
def retry(
    settings: Settings, run: str, packages: tuple[str, ...], detach: bool, queue_anyway: bool, as_json: bool
) -> int:
    """Submit a new run of what failed, was cancelled or lost in RUN, and of nothing else.

    Images that were built are kept. The new run builds the content that was submitted with RUN, not the
    current content of the working directory: use `farm push` after a change.

    A PACKAGE includes its unpublished dependencies. A package is refused while a dependency is still in
    progress in RUN.

    \b
    farm retry r42-k3f9
    farm retry r42-k3f9 linuxkit/foo
    """
    from farm.cli.follow import follow
    from farm.private_farm.connect import require_workers
    from farm.scheduling.retry_run import plan_retry, submit_retry

    with attached(settings, builds=True) as (connected, store):
        retry = plan_retry(find_run(store, run), connected, packages)
        if retry is None:
            print_answer({"run": None, "retryOf": run}, [f"{run}: nothing failed"], as_json=as_json)
            return 0
        new = retry.run
        _require_signing(settings, new)
        for name, needed_by in retry.added.items():
            say(f"{name} is retried too: {needed_by} needs it", err=True)
        if not queue_anyway:
            require_workers(connected, store, new.queues)
        submitted = submit_retry(store, connected, new)
        return follow(submitted, detach=detach, as_json=as_json)


def _require_signing(settings: Settings, run: Run) -> None:
    """Make sure that the settings name what signing the packages of a run needs."""
    from farm.trust.signer import make_signer

    names = {work.reference.name for work in run.works if work.sign and not work.images_only}
    if names:
        make_signer(settings).check_settings(sorted(names), to_sign=settings.broker is None)
