"""The sections of pages that are made from the code, between two markers."""

from __future__ import annotations


def with_section(page: str, name: str, text: str) -> str:
    """The page with the text in place of what is between the markers of the section.

    Raises:
        ValueError: the page lacks one of the markers.
    """
    begin, end = f"<!-- made by make docs: {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page lacks the line {begin!r} or {end!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"
