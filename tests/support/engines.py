"""Further Docker Engines, for tests that stop them or fill their disks."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lab.directory import own_directory
from lab.engine import own_engine
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.services import Located


@contextmanager
def another_engine(*, size: str = "") -> Iterator[Located]:
    """A running engine; `size`, as mount takes it, limits the disk of its data."""
    with own_directory() as home, ExitStack() as stack:
        engine = own_engine(home)
        if size:
            stack.enter_context(small_disk(home / "engine" / "data", size))
        stack.callback(engine.service.stop)
        engine.service.start()
        yield engine
