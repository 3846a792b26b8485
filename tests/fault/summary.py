"""What the suite prints at its end: the survived faults, and how long recovery took."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Summary:
    """Rows of two tables."""

    survived: list[tuple[str, str, str]] = field(default_factory=list)
    """Fault, phase, outcome."""
    recoveries: list[tuple[str, float, float]] = field(default_factory=list)
    """Fault, seconds until the work started again, seconds allowed."""
    of_jobs: list[str] = field(default_factory=list)
    """Lines from the other test processes."""

    def add(self, fault: str, phase: str, outcome: str) -> None:
        self.survived.append((fault, phase, outcome))

    def lines(self) -> list[str]:
        """The two tables as text."""
        rows = [f"  {fault:<34} {phase:<34} {what}" for fault, phase, what in self.survived]
        times = [f"  {fault:<69} {took:5.1f} s of {most:.0f} s" for fault, took, most in self.recoveries]
        return [
            *(["faults survived", *rows] if rows else []),
            *(["from the kill to the next start", *times] if times else []),
            *self.of_jobs,
        ]


SUMMARY = Summary()
