"""The modes in git's trees, and which of the parts of a build context a path is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.package.tarball import Entry

FILE, EXECUTABLE, GROUP_WRITABLE, SYMLINK, DIRECTORY = "100644", "100755", "100664", "120000", "40000"
GITLINK = "160000"
"""The modes in git's trees; git writes 100664 no more, but old histories have it.

https://git-scm.com/docs/git-fast-import#_filemodify
"""


def part_of(entry: Entry, places: Sequence[bytes]) -> int:
    """The number of the part that a file or link is of, by the places of all parts."""
    return innermost(entry.path, places) if entry.part is None else entry.part


def innermost(path: bytes, places: Sequence[bytes]) -> int:
    """The number of the innermost place that contains a path, and of these the first."""
    if len(places) == 1:  # the top
        return 0
    return max(
        (number for number, place in enumerate(places) if is_below(path, place)),
        key=lambda number: len(places[number]),
    )


def is_below(path: bytes, place: bytes) -> bool:
    """Whether a path is below a place of the context; b"" is its top."""
    return not place or path.startswith(place + b"/")


def as_bytes(place: str) -> bytes:
    """A place as the paths of the context have it."""
    return place.encode(errors="surrogateescape")
