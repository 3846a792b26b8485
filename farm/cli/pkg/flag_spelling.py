"""Flags as `linuxkit` takes them, rewritten as click takes them: pure functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHORT_FLAG_LETTERS = 2
"""`-q` is a short flag; a word with one dash and more letters is a long flag."""
_LEVEL_SUFFIX = re.compile(r"-[a-z]\d+")


class Level(click.ParamType[str]):
    """A number that may be omitted: `--verbose`, `--verbose=2`, `-v 2`."""

    name = "level"


LEVEL = Level()


def normalize_flags(words: Sequence[str], flags: Iterable[click.Parameter]) -> list[str]:
    """The arguments with every flag written long, with two dashes and its value after `=`.

    `-org=wombat`, `-org wombat` and `--org wombat` are the same, and so are `-docker`, `--docker=true` and
    `-docker=1`; `-v3` is `--verbose=3`. A flag that click takes without a value is left out if it is false.
    Everything after `--` is unchanged. A second call changes nothing.
    """
    known = {name: flag for flag in flags for name in flag.opts if name.startswith("-")}
    normal: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*normal, word, *rest]
        name, equals, value = _with_dashes(word).partition("=")
        if name not in known:
            normal.append(f"{name}{equals}{value}")
            continue
        long = max(known[name].opts, key=len)
        if getattr(known[name], "is_flag", False):
            normal += [long] if not equals or click.BOOL.convert(value, known[name], None) else []
            continue
        if not equals:
            value = _pop_value(known[name].type, rest)
        normal.append(f"{long}={value}")
    return normal


def move_flags_after_verb(words: Sequence[str], flags: Sequence[click.Parameter]) -> list[str]:
    """The arguments with the flags that precede the verb moved after it, where click expects them."""
    normal = normalize_flags(words, flags)
    before: list[str] = []
    while normal and normal[0].startswith("-") and normal[0] not in ("--", "-h", "--help"):
        before.append(normal.pop(0))
    return [*normal[:1], *before, *normal[1:]]


class LinuxkitCommand(click.Command):
    """A command whose flags may be written as `linuxkit` takes them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments after their flags are rewritten as click takes them."""
        return super().parse_args(ctx, normalize_flags(args, self.params))


def _with_dashes(word: str) -> str:
    """The word with two dashes if it is a long flag with one, and `-v=3` if it is `-v3`."""
    if _LEVEL_SUFFIX.fullmatch(word):
        return f"{word[:2]}={word[2:]}"
    one_dash = word.startswith("-") and not word.startswith("--")
    letters = word.partition("=")[0]
    return f"-{word}" if one_dash and len(letters) > _SHORT_FLAG_LETTERS else word


def _pop_value(kind: click.ParamType[Any], rest: list[str]) -> str:
    """The value of a flag without `=`: true for a boolean, else the next argument."""
    if kind is click.BOOL:
        return "true"
    if kind is LEVEL:
        return rest.pop(0) if rest and rest[0].isdigit() else "2"
    if not rest:
        raise click.UsageError("the last flag lacks its value")
    return rest.pop(0)
