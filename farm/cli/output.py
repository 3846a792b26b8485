"""What every verb prints in the same way: JSON, warnings, notes and errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.errors import FarmError


def print_json(data: Any) -> None:
    """Print a value as JSON on standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_answer(data: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print the answer of a verb: as JSON with --json, else as lines for people."""
    if as_json:
        print_json(data)
        return
    for line in lines:
        click.echo(line)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on standard error, one a line."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def print_note(text: str) -> None:
    """Print a note on standard error: what became of a flag, or which farm is used."""
    click.echo(f"note: {text}", err=True)


def print_error(error: FarmError) -> None:
    """Print an error on standard error, a line for each of its parts."""
    for part in error.parts or (error,):
        click.echo(f"farm: {' '.join(str(part).split())}", err=True)
