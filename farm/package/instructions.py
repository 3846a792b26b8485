"""The instructions of a Dockerfile, their words, and variables in them.

https://docs.docker.com/reference/dockerfile/
"""

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
    """The name (upper case) and value, on one line, of each instruction; without the content of heredocs."""
    source = BytesIO("\n".join(_without_heredocs(text)).encode(errors="replace"))
    return [
        (step["instruction"], step["value"].strip())
        for step in DockerfileParser(fileobj=source, env_replace=False).structure
    ]


def _without_heredocs(text: str) -> Iterator[str]:
    """The lines of a Dockerfile without the content of heredocs, which dockerfile-parse does not know.

    https://docs.docker.com/reference/dockerfile/#here-documents
    """
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
    """The words of a value, without quotes."""
    return [WordSplitter(word).dequote() for word in WordSplitter(value).split(dequote=False)]


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with `$A`, `${A}`, `${A:-default}` and `${A:+other}` replaced; unknown variables are empty.

    https://docs.docker.com/reference/dockerfile/#environment-replacement
    """

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        known = variables.get(match["plain"] or match["name"], "")
        if match["sign"] == "-":
            return known or substitute(match["word"], variables)
        if match["sign"] == "+":
            return substitute(match["word"], variables) if known else ""
        return known

    return _VARIABLE.sub(value, text)
