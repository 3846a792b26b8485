"""The instructions of a Dockerfile, their words and variables; in bounded time, which grows with its size.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import TYPE_CHECKING

from dockerfile_parse.util import WordSplitter  # type: ignore[import-untyped]  # it has no types

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MOST_INSTRUCTIONS = 10_000
_LONGEST_WORDS = 1 << 16
"""Characters of a FROM, ARG, COPY or ADD."""
_MOST_INSERTED = 1 << 14
"""Characters that the variables in one value may add."""
_DIRECTIVE = re.compile(r"#\s*([a-z]+)\s*=\s*(\S.*)", re.IGNORECASE)
_HEREDOC = re.compile(r"<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_.]*)\2")
_WITH_HEREDOC = re.compile(r"\s*(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_VARIABLE = re.compile(
    r"\\(?P<escaped>.)"
    r"|\$(?P<plain>[A-Za-z_]\w*)"
    r"|\$\{(?P<name>[A-Za-z_]\w*)(?::?(?P<sign>[-+])(?P<word>[^}]*))?\}"
)


def instructions(text: str) -> list[tuple[str, str]]:
    """The name (upper case) and value, on one line, of each instruction; without the content of heredocs.

    https://docs.docker.com/reference/dockerfile/#format
    """
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _escape(lines)
    found = []
    for line in _joined(_without_heredocs(lines, escape), escape):
        words = line.split(maxsplit=1)
        if len(words) > 1:
            found.append((words[0].upper(), words[1].strip()))
        if len(found) > _MOST_INSTRUCTIONS:
            raise InputError(f"its Dockerfile has more than {_MOST_INSTRUCTIONS} instructions")
    return found


def _escape(lines: Sequence[str]) -> str:
    """The character that continues a line: https://docs.docker.com/reference/dockerfile/#escape."""
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if not directive:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _joined(lines: Iterable[str], escape: str) -> Iterator[str]:
    """The lines that are neither blank nor a comment, each with those that continue it."""
    parts: list[str] = []
    for line in lines:
        text = line.rstrip()
        if not text or text.lstrip().startswith("#"):
            continue
        parts.append(text.removesuffix(escape))
        if parts[-1] == text:
            yield "".join(parts)
            parts = []
    yield from ["".join(parts)] if parts else []


def _without_heredocs(lines: Iterable[str], escape: str) -> Iterator[str]:
    """The lines of a Dockerfile without the content of heredocs.

    https://docs.docker.com/reference/dockerfile/#here-documents
    """
    ends: deque[tuple[str, bool]] = deque()
    within = False
    for line in lines:
        if ends and not within:
            if (line.lstrip("\t") if ends[0][1] else line) == ends[0][0]:
                ends.popleft()
            continue
        if within or _WITH_HEREDOC.match(line):
            ends += [(end, bool(dash)) for dash, _, end in _HEREDOC.findall(line)]
            within = line.rstrip().endswith(escape)
        yield line


def words_of(value: str) -> list[str]:
    """The words of a value, without quotes."""
    if len(value) > _LONGEST_WORDS:
        raise InputError(f"its Dockerfile has an instruction of more than {_LONGEST_WORDS} characters")
    return [WordSplitter(word).dequote() for word in WordSplitter(value).split(dequote=False)]


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with `$A`, `${A}`, `${A:-default}` and `${A:+other}` replaced; unknown variables are empty.

    https://docs.docker.com/reference/dockerfile/#environment-replacement
    """
    left = _MOST_INSERTED

    def insert(match: re.Match[str]) -> str:
        nonlocal left
        found = value(match)
        left -= len(found)
        if left < 0:
            raise InputError(
                f"its Dockerfile has a value that grows by more than {_MOST_INSERTED} characters"
            )
        return found

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        known = variables.get(match["plain"] or match["name"], "")
        if match["sign"] == "-":
            return known or substitute(match["word"], variables)
        if match["sign"] == "+":
            return substitute(match["word"], variables) if known else ""
        return known

    return _VARIABLE.sub(insert, text)


def json_words(text: str) -> list[str]:
    """The words of the form ["a", "b"]; none if the text has another form."""
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []
