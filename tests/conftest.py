"""What all tests share: one lab for the whole session. A service that is missing fails, and never skips."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.engine import Kind, running_engine
from lab.lab import Lab, running_lab
from tests.fault.summary import SUMMARY

TESTS = Path(__file__).parent
SHARED = ("compose", "fault/network", "fault")
"""Directories whose tests share something that takes long to start, in the order in which they begin."""
ALONE = ("fault/test_cache.py", "fault/test_http_relay.py")
"""What lies there and shares nothing."""
_MEASURED = "measured"
Engines = Callable[[Kind | None], str]


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several jobs, keep in one job what shares a fixture, and begin with what takes longest."""
    if not hasattr(config, "workerinput"):
        return
    places = {item: item.path.relative_to(TESTS).as_posix() for item in items}
    for item, place in places.items():
        item.add_marker(pytest.mark.xdist_group(_shared(place) or place))
    items.sort(key=lambda item: SHARED.index(shared) if (shared := _shared(places[item])) else len(SHARED))


def _shared(place: str) -> str | None:
    if place in ALONE:
        return None
    return next((directory for directory in SHARED if place.startswith(f"{directory}/")), None)


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
