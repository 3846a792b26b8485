"""The log of a build, from BuildKit's progress messages: the part that both builders share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.buildkit.progress import Progress
from farm.buildkit.status_messages import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.buildkit.progress import BuildStep


@dataclass(slots=True)
class BuildLog:
    """Writes the lines that progress messages add, and knows which step failed."""

    log: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)

    def write_trace(self, read: Callable[[], Trace]) -> Trace:
        """Log what a progress message adds; one that cannot be read adds a line, and fails no build.

        Args:
            read: returns the message; raises ValueError if it cannot be read.
        """
        try:
            trace = read()
            lines = list(self.progress.feed(trace))
        except ValueError as error:
            trace, lines = Trace(), [f"(unreadable progress message: {error})"]
        for line in lines:
            self.log(line)
        return trace

    def finish(self) -> BuildStep | None:
        """Log the rest of the output; return the step that failed, if one did."""
        for line in self.progress.flush():
            self.log(line)
        return self.progress.failed()
