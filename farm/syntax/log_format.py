"""The log of a worker or supervisor on standard error, in which the words of others stay words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.syntax.printable import lines_of_text, one_line

if TYPE_CHECKING:
    from types import TracebackType


class SafeFormatter(logging.Formatter):
    """One line for each message, whatever it quotes; only tracebacks have more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of a record."""
        return one_line(super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """The traceback of a record."""
        return lines_of_text(super().formatException(ei))


def log_to_stderr() -> None:
    """Send the log of this process to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
