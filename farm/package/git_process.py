"""git as a process that answers questions, and runs no program that a repository names.

A clone brings files alone; an archive or a shared directory brings a .git with a configuration too. Whoever
wrote either decides nothing about this machine.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farm.errors import GitError
from farm.settings import environment as variables
from farm.system.processes import finish, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Configuration = Iterable[tuple[str, str]]
    Answer = subprocess.CompletedProcess[bytes]

_TIMEOUT = 300
"""Seconds: a cold status of a very large working tree."""
_COUNT = "GIT_CONFIG_COUNT"
_VARIABLES = {
    "GIT_ALLOW_PROTOCOL": "",  # none: what a partial clone lacks is not fetched, by ssh or any helper
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
}
# https://git-scm.com/docs/git-config
_CONFIGURATION = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("core.editor", "false"),
    ("core.alternateRefsCommand", "false"),
    ("credential.helper", ""),
    ("diff.external", ""),
    ("protocol.allow", "never"),
    # A repository within a working tree, which a clone can contain, is none.
    ("safe.bareRepository", "explicit"),
)


def guarded(more: Configuration = ()) -> dict[str, str]:
    """Variables with which git runs nothing of a repository's; `more` is further configuration.

    They are added to a user's own (GIT_CONFIG_COUNT), as for safe.directory.
    https://git-scm.com/docs/git-config#ENVIRONMENT
    """
    own = variables([_COUNT]).get(_COUNT, "")
    first = int(own) if own.isdigit() else 0
    pairs = (*_CONFIGURATION, *more)
    found = _VARIABLES | {_COUNT: str(first + len(pairs))}
    for number, (key, value) in enumerate(pairs, first):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def ask_git(
    top: str,
    *command: str,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    configuration: Configuration = (),
) -> Answer:
    """Run git in a directory, whatever its status; `environment` is the whole of it, None is this one's."""
    with asking_git(top, *command, environment=environment, configuration=configuration) as answer:
        return answer(given)


@contextmanager
def asking_git(
    top: str,
    *command: str,
    environment: Mapping[str, str] | None = None,
    configuration: Configuration = (),
) -> Iterator[Callable[[bytes], Answer]]:
    """Start git as `ask_git` does, and yield what gives it its input and waits for its answer."""
    late = GitError(f"{top}: git did not answer within {_TIMEOUT} s")
    base = variables() if environment is None else environment
    with ExitStack() as stack:
        try:
            process = stack.enter_context(
                running(["git", "-C", top, *command], environment={**base, **guarded(configuration)})
            )
        except FileNotFoundError as error:
            raise GitError(
                "git is not installed, but tags are made from git's hashes", hint="install git"
            ) from error
        yield lambda given: finish(process, timeout=_TIMEOUT, late=late, given=given)


def without_filters(top: str) -> list[tuple[str, str]]:
    """The configuration that turns off every filter which the configuration of a repository has."""
    with asking_filters(top) as off:
        return off()


@contextmanager
def asking_filters(top: str) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Start git as `without_filters` does, and yield what waits for its answer."""
    with asking_git(top, "config", "--null", "--name-only", "--get-regexp", r"^filter\.") as answer:
        yield lambda: _filters_off(answer(b"").stdout)


def _filters_off(names: bytes) -> list[tuple[str, str]]:
    keys = os.fsdecode(names).split("\0")[:-1]
    drivers = dict.fromkeys(key.rpartition(".")[0] for key in keys)
    off = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    return [(f"{driver}.{key}", value) for driver in drivers for key, value in off]


def failed(what: str, answer: Answer) -> GitError:
    """The error of a git that failed, with the first line that it printed."""
    lines = answer.stderr.decode(errors="replace").strip().splitlines()
    if any("lazy fetching disabled" in line for line in lines):
        return GitError(
            f"{what}: this partial clone lacks objects, and the farm fetches nothing",
            hint="git fetch --refetch --no-filter",
        )
    said = lines[0].removeprefix("fatal: ") if lines else f"status {answer.returncode}"
    hint = next((line.strip() for line in lines if line.strip().startswith("git config")), None)
    return GitError(f"{what}: {said}", hint=hint)
