"""What is watched: the newest commit of a branch or of a pull request, and what a forge shows of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_BRANCH_REF = "refs/heads/"
_LONGEST_TEXT = 140
"""Characters of a status: GitHub refuses more."""


def branch_ref(branch: str) -> str:
    """The ref of a branch."""
    return f"{_BRANCH_REF}{branch}"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest commit of a branch, which is published, or of a pull request, which is only built."""

    ref: str
    """In the watched repository, such as refs/heads/main or refs/pull/7/head."""
    commit: str
    pull_request: int = 0
    """Its number; 0 for a branch."""
    base: str = ""
    """The branch that a pull request is to."""
    source: str = ""
    """The branch of the repository itself that a pull request is from; "" for one from elsewhere."""

    @property
    def context(self) -> str:
        """The name of the farm's statuses, by which a forge tells them from those of others."""
        return "farm/pull-request" if self.pull_request else "farm"

    @property
    def base_place(self) -> str:
        """Where a pull request keeps the branch that it is to, apart from the one that is published."""
        return f"{self.ref}:base"

    @property
    def name(self) -> str:
        """What a person calls it."""
        if self.pull_request:
            return f"pull request {self.pull_request}"
        return self.ref.removeprefix(_BRANCH_REF)

    def __str__(self) -> str:
        return f"{self.name} {self.commit[:12]}"


class Outcome(StrEnum):
    """The state of a commit's status."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    """the packages cannot be built, or the commit is not allowed"""
    ERROR = "error"
    """the farm cannot do it now, and tries again"""


@dataclass(frozen=True, slots=True)
class Status:
    """What a forge shows beside a commit."""

    outcome: Outcome
    text: str
    """One line."""
    link: str = ""

    @property
    def short(self) -> str:
        """The text as every forge takes it."""
        text = " ".join(self.text.split())
        return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
