"""What all tests share: one lab for the whole session. A service that is missing fails, and never skips."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from lab.engine import Kind, running_engine
from lab.lab import Lab, running_lab
from tests.fault.summary import SUMMARY
from tests.jobs import shared_by, turn
from tests.support.signals import default_in_children

_MEASURED = "measured"
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Of several jobs, each takes a whole of tests that share something."""
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = shared_by
    return scheduling


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several jobs, begin with what takes longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn(item.nodeid))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of several jobs, hand what this one measured to the process that prints it."""
    if output := getattr(session.config, "workeroutput", None):
        output[_MEASURED] = SUMMARY.lines()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a job measured; one that was killed has nothing to say."""
    SUMMARY.of_jobs.extend(getattr(node, "workeroutput", {}).get(_MEASURED, []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured and survived."""
    for line in SUMMARY.lines():
        terminalreporter.write_line(line)
