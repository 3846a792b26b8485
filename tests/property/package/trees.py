"""Names and trees that git can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Leaf = TypeVar("Leaf")

_BYTES = st.one_of(
    st.sampled_from(b'ab-._0 \xff\xc3\xa4\n"\\*?[:!#'),
    st.integers(1, 255).filter(lambda byte: byte != 0x2F),
)
NAMES = (
    st.lists(_BYTES, min_size=1, max_size=6)
    .map(bytes)
    .filter(
        lambda name: name not in (b".", b"..") and name.lower() != b".git" and b"git~" not in name.lower()
    )
)


def trees(names: SearchStrategy[bytes], leaves: SearchStrategy[Leaf]) -> SearchStrategy[dict[bytes, Leaf]]:
    """Path to leaf, without the files that would have to be directories as well."""

    def fitting(files: dict[bytes, Leaf]) -> dict[bytes, Leaf]:
        folders = {path[:at] for path in files for at in range(len(path)) if path[at : at + 1] == b"/"}
        return {path: leaf for path, leaf in files.items() if path not in folders}

    paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
    return st.dictionaries(paths, leaves, min_size=1, max_size=6).map(fitting)
