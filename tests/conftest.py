"""What all tests share: one lab for the whole session. A service that is missing fails, and never skips."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lab.engine import Kind, running_engine
from lab.lab import Lab, running_lab

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
