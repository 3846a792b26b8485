"""A table of text: drawn by rich on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its style, in rich's notation."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below their headings."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str | None = None
    unwrapped: tuple[str, ...] = ()
    """Headings of the columns that a narrow terminal must not wrap."""


def print_table(table: Table) -> None:
    """Print a table; rich is imported only if standard output is a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(table))
    else:
        click.echo("\n".join(plain_lines(table)))


def rich_table(table: Table) -> RichTable:
    """The table for rich."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False)
    for heading in table.headings:
        unwrapped = heading in table.unwrapped
        drawn.add_column(heading, no_wrap=unwrapped, overflow="ellipsis" if unwrapped else "fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    return drawn


def plain_lines(table: Table) -> list[str]:
    """The table as aligned lines without styles."""
    rows = [table.headings, *(tuple(cell.text for cell in row) for row in table.rows)]
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return [*([table.title] if table.title else []), *lines]
