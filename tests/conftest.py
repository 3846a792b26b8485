"""Fixtures and hooks of all tests. A service that is missing fails a test, and never skips it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from lab.engine import Kind, running_engine
from lab.lab import Lab, running_lab
from lab.lint import Lint
from tests import durations
from tests.fault.summary import SUMMARY
from tests.jobs import shared_by, turn
from tests.support.signals import default_in_children

_MEASURED = "measured"
_LINT = Lint()
_FAILURES: list[str] = []
_DURATIONS: durations.Durations = {}
Engines = Callable[[Kind | None], str]
default_in_children()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Registry, notary server, Redis, engine and base images, all real."""
    with running_lab() as running:
        yield running


@pytest.fixture(scope="session")
def engines(lab: Lab) -> Iterator[Engines]:
    """The URL of the lab's engine, or of one of another kind, which is started when it is first asked for."""
    with ExitStack() as stack:
        yield functools.cache(
            lambda kind: stack.enter_context(running_engine(lab.directory, kind)) if kind else lab.engine_url
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --lint."""
    parser.addoption("--lint", action="store_true", help="also check formatting, lint, types and imports")


def pytest_configure(config: pytest.Config) -> None:
    """Start the checks of --lint."""
    if config.getoption("lint") and not _is_job(config):
        _LINT.start()


def _is_job(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one, which prints the results."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give each job whole groups of tests that share something."""
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = shared_by
    return scheduling


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several jobs, start with the groups that take longest."""
    if _is_job(config):
        items.sort(key=lambda item: turn(item.nodeid))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how long each phase of each test took."""
    durations.add(_DURATIONS, report.nodeid, report.when, report.duration)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the durations, and fail the run if a check of --lint failed."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_MEASURED] = SUMMARY.lines()
        return
    durations.write(_DURATIONS)
    if session.exitstatus == pytest.ExitCode.INTERRUPTED:
        _LINT.stop()
    _FAILURES.extend(_LINT.failures())
    if _FAILURES and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a job measured; a job that was killed has measured nothing."""
    SUMMARY.of_jobs.extend(getattr(node, "workeroutput", {}).get(_MEASURED, []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured and survived, and the checks of --lint that failed."""
    for line in [*SUMMARY.lines(), *_FAILURES]:
        terminalreporter.write_line(line)
