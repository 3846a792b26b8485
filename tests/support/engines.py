"""Further Docker Engines, for tests that stop them or fill their disks."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab.directory import own_directory
from lab.engine import own_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.services import Located


@contextmanager
def another_engine(*, size: str = "") -> Iterator[Located]:
    """A running engine; `size`, as mount takes it, limits the disk of its data."""
    with own_directory() as home:
        engine = own_engine(home)
        if size:
            data = home / "engine" / "data"
            data.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(data)]
            subprocess.run(command, check=True, timeout=30)
        try:
            engine.service.start()
            yield engine
        finally:
            engine.service.stop()
