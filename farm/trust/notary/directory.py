"""Private directories for one signing or verification each, and the locks around them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.system import locks
from farm.system.private_directories import temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from farm.trust.notary.deadline import TrustDeadline


@contextmanager
def private_directory(parent: Path, deadline: TrustDeadline) -> Iterator[Path]:
    """An empty trust directory in `parent` that only its owner may enter, removed at the end.

    Raises:
        TrustError: `parent` cannot be created or written.
        TrustUnavailableError: the deadline passed before the lock on `parent` was free.
    """
    with ExitStack() as stack:
        try:
            path = stack.enter_context(
                temporary_directory(parent, prefix="trust-", timeout=deadline.left(), busy=deadline.missed())
            )
        except OSError as error:
            raise TrustError(f"{parent}: no trust directory can be made: {error.strerror}") from error
        yield path


def locked(path: Path, deadline: TrustDeadline) -> AbstractContextManager[int]:
    """Hold the lock in the file `path`.

    Raises:
        TrustUnavailableError: another process held it until the deadline.
    """
    return locks.locked(path, timeout=deadline.left(), busy=deadline.missed())
