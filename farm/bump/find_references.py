"""References to images in files of any kind: where each is, and why one is kept. Pure functions."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import InputError
from farm.model import ARCHES, Reference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# A tag does not end in a full stop or a dash, which may be a sentence's. Other names may not precede: in
# a/linuxkit/foo:TAG, linuxkit/foo is a part. What precedes may be a scheme, as in docker://linuxkit/foo:TAG.
_REFERENCE = re.compile(
    rb"(?:(?<![A-Za-z0-9._/:@$}-])|(?<=://))"
    rb"(?P<name>[a-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9][a-z0-9._-]*)+)"
    rb":(?P<tag>[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_])?)"
    rb"(?P<digest>@sha256:[0-9a-f]{64})?"
)
_PINNED = re.compile(rb"(?:#|//|<!--)\s*farm:\s*pinned\b")
_ONLY_PINNED = re.compile(rb"\s*(?:#|//|<!--)\s*farm:\s*pinned\b.*")
_HASH = r"[0-9a-f]{40}(?:-dirty-[0-9a-f]{7})?"
_WITH_HASH = re.compile(_HASH)
_ARCH = rf"(?:-(?:{'|'.join(ARCHES)}))?"

PINNED = "pinned"
BY_DIGEST = "pinned by its digest"
OWN = "in the package itself"


class FoundReference(NamedTuple):
    """A reference to an image in a file."""

    start: int
    """Where its tag begins, in bytes."""
    name: str
    """As Reference.name."""
    tag: str
    line: int
    """From 1."""
    kept: str = ""
    """Why it is not to be rewritten; "" if it may be."""

    @property
    def end(self) -> int:
        """Where its tag ends."""
        return self.start + len(self.tag)


class TagPattern(NamedTuple):
    """The tags that a package has had, and may have: those of its template with any hash."""

    matching: re.Pattern[str]

    @staticmethod
    def of_template(template: str) -> TagPattern:
        """The pattern of a package's tags, and of its architecture tags."""
        plain = re.escape(re.sub(r"\{\{\s*\.Hash\s*\}\}", "\0", template)).replace("\0", _HASH)
        # A package may have had the default template before.
        return TagPattern(re.compile(rf"(?:{plain}|{_HASH})({_ARCH})"))

    @staticmethod
    def of_any_tag() -> TagPattern:
        """The pattern of all tags, with the architecture of those that end in one."""
        return TagPattern(re.compile(rf".*?({_ARCH})"))

    def arch_of(self, tag: str) -> str | None:
        """The -ARCH at the end of a tag, "" for none; None for a tag of another kind."""
        match = self.matching.fullmatch(tag)
        return match[1] if match else None


def find_references(text: bytes, names: Mapping[str, str]) -> list[FoundReference]:
    """The references to images in order; `names` are what the text may call them, and how they are found."""
    found = []
    lines = _Lines(text)
    for match in _REFERENCE.finditer(text):
        try:
            name = Reference.parse(match["name"].decode()).name
        except InputError:
            continue
        if name in names:
            line, kept = lines.at(match.start("tag"))
            kept = kept or (BY_DIGEST if match["digest"] else "")
            found.append(FoundReference(match.start("tag"), names[name], match["tag"].decode(), line, kept))
    return found


def find_bare_tags(
    text: bytes, tags: Mapping[str, str], whole: Collection[FoundReference]
) -> Iterator[FoundReference]:
    """Where tags with a hash stand alone, as in ARG HASH=TAG.

    `tags` are tag to name, and `whole` the whole references. Of tags that overlap, the longest is found.
    """
    lines, taken = _Lines(text), [(one.start, one.end) for one in whole]
    for tag in sorted(filter(_WITH_HASH.search, tags), key=len, reverse=True):
        alone = rb"(?<![A-Za-z0-9])" + re.escape(tag.encode()) + rb"(?![A-Za-z0-9])"
        for match in re.finditer(alone, text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            line, kept = lines.at(match.start())
            yield FoundReference(match.start(), tags[tag], tag, line, kept)


class _Lines:
    """The lines of a text, and which of them are marked as pinned."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer(b"\n", text))]

    def at(self, place: int) -> tuple[int, str]:
        """The number of the line, and why its references are kept.

        The mark is on the line itself, or alone on the line before: a FROM takes no comment.
        """
        number = bisect_right(self._starts, place)
        marked = _PINNED.search(self._line(number)) or (
            number > 1 and _ONLY_PINNED.fullmatch(self._line(number - 1))
        )
        return number, PINNED if marked else ""

    def _line(self, number: int) -> bytes:
        ends = [*self._starts[number : number + 1], len(self._text)]
        return self._text[self._starts[number - 1] : ends[0]].rstrip(b"\r\n")
