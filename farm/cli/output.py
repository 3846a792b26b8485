"""What verbs print: the one place where text reaches the terminal, with the words of others made safe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from farm.syntax.printable import lines_of_text, one_line, safe_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.errors import FarmError


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print one line; what it quotes cannot control the terminal, nor begin another line."""
    click.echo(f"{one_line(text)}{end}", err=err, nl=False)


def print_json(data: Any) -> None:
    """Print a value as JSON on standard output."""
    import json

    click.echo(safe_json(json.dumps(data, indent=2, ensure_ascii=False)))


def print_bytes(data: bytes) -> None:
    """Print exactly these bytes; on a terminal, as text that cannot control it."""
    click.echo(lines_of_text(data.decode(errors="replace")) if sys.stdout.isatty() else data, nl=False)


def print_answer(data: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print the answer of a verb: as JSON with --json, else as lines for people."""
    if as_json:
        print_json(data)
        return
    for line in lines:
        say(line)


def print_warning(text: str) -> None:
    """Print a warning on standard error."""
    say(f"warning: {text}", err=True)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on standard error, one a line."""
    for warning in warnings:
        print_warning(warning)


def print_note(text: str) -> None:
    """Print a note on standard error: what became of a flag, or which farm is used."""
    say(f"note: {text}", err=True)


def print_error(error: FarmError) -> None:
    """Print an error on standard error, a line for each of its parts."""
    for part in error.parts or (error,):
        say(f"farm: {' '.join(str(part).split())}", err=True)
