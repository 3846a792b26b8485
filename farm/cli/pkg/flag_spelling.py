"""Flags as `linuxkit` takes them, spelled as click does: pure functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHORTEST = 2
"""Letters from which on `-name` is a long flag with one dash; `-q` is a short one."""
_LEVEL_BEHIND = re.compile(r"-[a-z]\d+")


class Level(click.ParamType[str]):
    """A number that may be left out: `--verbose`, `--verbose=2`, `-v 2`."""

    name = "level"


LEVEL = Level()


def modern(words: Sequence[str], flags: Iterable[click.Parameter]) -> list[str]:
    """Arguments in which every flag is long, has two dashes, and its value behind `=`; booleans get theirs.

    `-org=wombat`, `-org wombat` and `--org wombat` are one, and so are `-docker`, `--docker=true` and
    `-docker=1`; `-v3` is `--verbose=3`. What stands behind `--` is left as it is, and so is what this made.
    """
    known = {name: flag for flag in flags for name in flag.opts if name.startswith("-")}
    spelled: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*spelled, word, *rest]
        name, equals, value = _name(word).partition("=")
        if name not in known:
            spelled.append(f"{name}{equals}{value}")
            continue
        if not equals:
            value = _value(known[name].type, rest)
        spelled.append(f"{_longest(known[name])}={value}")
    return spelled


def verb_first(words: Sequence[str], flags: Sequence[click.Parameter]) -> list[str]:
    """Arguments with the flags that stand before the verb put behind it, where click looks for them."""
    spelled = modern(words, flags)
    before: list[str] = []
    while spelled and spelled[0].startswith("-") and spelled[0] not in ("--", "-h", "--help"):
        before.append(spelled.pop(0))
    return [*spelled[:1], *before, *spelled[1:]]


def pkg_first(words: Sequence[str], flags: Sequence[click.Parameter]) -> list[str]:
    """Arguments of `farm` with the flags that `linuxkit` takes before `pkg` behind it; else as they are."""
    ordered = verb_first(words, flags)
    return ordered if ordered[:1] == ["pkg"] else list(words)


def _longest(flag: click.Parameter) -> str:
    return max(flag.opts, key=len)


def _name(word: str) -> str:
    """The word with two dashes if it is a long flag with one, and `-v=3` if it is `-v3`."""
    if _LEVEL_BEHIND.fullmatch(word):
        return f"{word[:2]}={word[2:]}"
    one_dash = word.startswith("-") and not word.startswith("--")
    letters = word.partition("=")[0]
    return f"-{word}" if one_dash and len(letters) > _SHORTEST else word


def _value(kind: click.ParamType[Any], rest: list[str]) -> str:
    """The value of a flag without `=`: for a boolean true, else the next argument."""
    if kind is click.BOOL:
        return "true"
    if kind is LEVEL:
        return rest.pop(0) if rest and rest[0].isdigit() else "2"
    if not rest:
        raise click.UsageError("the last flag lacks its value")
    return rest.pop(0)
