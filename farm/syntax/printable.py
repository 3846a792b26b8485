"""Words of others, made safe to print: no escape sequences, no hidden or reordered text, one line."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

# Controls (C0, DEL, C1), what reorders or hides text (https://www.unicode.org/reports/tr9/,
# https://trojansource.codes), the separators of lines and paragraphs, and lone halves of surrogates.
_CONTROLS = "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
_CLASS = f"[{_CONTROLS}\ud800-\udfff\U000e0000-\U000e007f]"
# Compiled by `re` when they are first used: most commands print nothing else than ASCII.
_UNSAFE = f"(?!\t){_CLASS}"
_UNSAFE_IN_TEXT = f"(?![\n\t]){_CLASS}"


def one_line(text: str) -> str:
    """The text in one line: what a terminal would obey or hide becomes a Python escape, but for tabs."""
    return text if text.isascii() and text.isprintable() else re.sub(_UNSAFE, _escape, text)


def lines_of_text(text: str) -> str:
    """The same, with the ends of lines kept."""
    return text if text.isascii() and text.isprintable() else re.sub(_UNSAFE_IN_TEXT, _escape, text)


def safe_json(text: str) -> str:
    """A JSON text with the same value, in which such characters are escaped as JSON does."""
    return re.sub(_UNSAFE_IN_TEXT, _escape_json, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _escape_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


class SafeText(io.TextIOWrapper):
    """A stream of text in which nothing controls a terminal, whoever writes to it."""

    @classmethod
    def around(cls, buffer: BinaryIO) -> SafeText:
        """A stream that writes to this one."""
        # A path may hold bytes that are not UTF-8: that is no reason to fail.
        return cls(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def write(self, text: str, /) -> int:
        """Write a text."""
        return super().write(lines_of_text(text))
