"""What a watch has done with each head, in a file that survives its end at any line."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.system.files import put_in_place
from farm.system.regular_files import read_regular
from farm.watch.heads import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Handled:
    """What was done with the head of one ref."""

    commit: str
    number: int = 1
    """How many heads the ref has had: part of the key under which a run is submitted once."""
    attempt: int = 1
    """The same for the runs of this head: another one follows what failed by an outage."""
    done: bool = False
    """Whether nothing is left to do."""
    run: str = ""
    """The newest run that was reported."""
    outcome: str = ""
    text: str = ""
    link: str = ""
    reported: bool = True
    """Whether the forge knows."""

    @property
    def status(self) -> Status | None:
        """The newest status; None before the first."""
        return Status(Outcome(self.outcome), self.text, self.link) if self.outcome else None

    def with_status(self, status: Status, *, done: bool) -> Handled:
        """With a status that the forge does not know yet, unless it is the newest one already."""
        known = self.status == status and self.reported
        text, link = status.text, status.link
        return replace(self, done=done, outcome=str(status.outcome), text=text, link=link, reported=known)


class HandledHeads:
    """The file; any thread may change what is about its own ref."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._handled = self._read()

    def of(self, ref: str) -> Handled | None:
        """What was done with the newest head of a ref that was looked at."""
        return self._handled.get(ref)

    def refs(self) -> list[str]:
        """All refs of which something is recorded."""
        return list(self._handled)

    def record(self, ref: str, handled: Handled) -> None:
        """Record a step; after a power failure it is whole or absent."""
        with self._lock:
            if self._handled.get(ref) != handled:
                self._write({**self._handled, ref: handled})

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Forget refs."""
        with self._lock:
            kept = {ref: one for ref, one in self._handled.items() if not is_gone(ref)}
            if kept != self._handled:
                self._write(kept)

    def _read(self) -> dict[str, Handled]:
        try:
            data = json.loads(read_regular(self._path, _LARGEST))
            found = {str(ref): Handled(**one) for ref, one in data.items()}
            for one in found.values():
                _ = one.status
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StateError(
                f"{self._path}: cannot be read: {error}",
                hint="delete it: what is published is not built again",
            ) from error
        return found

    def _write(self, handled: dict[str, Handled]) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        text = json.dumps({ref: asdict(one) for ref, one in handled.items()}, indent=1)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        put_in_place(new, self._path)
        self._handled = handled
