"""The commands of the farm that a watch runs, each as a process of its own.

So a command that hangs or fails is only that, and a pull request is built by a process that has no secret.
They run in a directory of the operator's, never in a checkout: nothing there is a setting.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import FarmError
from farm.syntax.printable import one_line
from farm.system.processes import python

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.watch.children import Children


@dataclass(frozen=True, slots=True)
class FarmCommands:
    """Runs `farm` with the same variables each time, in the same directory."""

    children: Children
    variables: Mapping[str, str]
    """The whole environment."""
    within: Path
    options: tuple[str, ...] = ()
    """Before the verb, such as --config FILE."""

    def run(self, verb: str, *words: str, timeout: float) -> Any:
        """Run `farm VERB --json WORDS`; returns the JSON that it printed, which is no error.

        Raises:
            FarmError: the error with which it ended.
            CancelledError: the watch ends.
        """
        done = self.children.run(
            python("-m", "farm.cli", *self.options, verb, "--json", *words),
            environment=self.variables,
            within=self.within,
            timeout=timeout,
            late=FarmError(f"farm {verb} took longer than {timeout:.0f} s"),
        )
        try:
            found = json.loads(done.output)
        except ValueError:
            lines = done.messages.decode(errors="replace").strip().splitlines() or [f"status {done.code}"]
            raise FarmError(f"farm {verb} failed: {one_line(lines[-1])}") from None
        if isinstance(found, dict) and isinstance(error := found.get("error"), dict):
            raise FarmError.from_json(error)
        return found
