"""A Dockerfile as instructions with their values, and the variables in them filled in."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]  # it has no types
from dockerfile_parse.util import WordSplitter  # type: ignore[import-untyped]  # the same

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEREDOC = re.compile(r"<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_.]*)\2")
_WITH_HEREDOC = re.compile(r"\s*(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_VARIABLE = re.compile(
    r"\\(?P<escaped>.)"
    r"|\$(?P<plain>[A-Za-z_]\w*)"
    r"|\$\{(?P<name>[A-Za-z_]\w*)(?::?(?P<sign>[-+])(?P<word>[^}]*))?\}"
)


def instructions(text: str) -> list[tuple[str, str]]:
    """The name (upper case) and value of each instruction, on one line; what heredocs hold is left out."""
    source = BytesIO("\n".join(_without_heredocs(text)).encode(errors="replace"))
    return [
        (step["instruction"], step["value"].strip())
        for step in DockerfileParser(fileobj=source, env_replace=False).structure
    ]


def _without_heredocs(text: str) -> Iterator[str]:
    ends: list[tuple[str, bool]] = []
    within = False
    for line in text.removeprefix("\ufeff").splitlines():
        if ends and not within:
            if (line.lstrip("\t") if ends[0][1] else line) == ends[0][0]:
                ends.pop(0)
            continue
        if within or _WITH_HEREDOC.match(line):
            ends += [(end, bool(dash)) for dash, _, end in _HEREDOC.findall(line)]
            within = line.rstrip().endswith("\\")
        yield line


def words(value: str) -> list[str]:
    """The words of a value, quotes taken off."""
    return [WordSplitter(word).dequote() for word in WordSplitter(value).split(dequote=False)]


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with `$A`, `${A}`, `${A:-default}` and `${A:+other}` replaced; what is unknown is empty."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        known = variables.get(match["plain"] or match["name"], "")
        if match["sign"] == "-":
            return known or filled(match["word"], variables)
        if match["sign"] == "+":
            return filled(match["word"], variables) if known else ""
        return known

    return _VARIABLE.sub(value, text)
