"""What all tests share: one lab for the whole session. A service that is missing fails, and never skips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.lab import Lab, running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Registry, notary server, Redis, engine and base images, all real."""
    with running_lab() as running:
        yield running
