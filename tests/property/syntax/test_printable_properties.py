"""Any text becomes words that a terminal shows, and JSON keeps its value."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from farm.syntax.printable import lines_of_text, one_line, safe_json

TEXTS = st.text(st.characters()) | st.text(
    st.sampled_from("\x00\x1b\x7f\x9b\u2028\u202e\u2066\u200b\ufeff\n\t\r é")
)
_OBEYED = ("Cc", "Cs", "Zl", "Zp")


def _controls(text: str) -> set[str]:
    return {
        one for one in text if unicodedata.category(one) in _OBEYED or unicodedata.bidirectional(one) in _BIDI
    }


_BIDI = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@given(TEXTS)
def test_one_line_has_no_control_but_tabs_and_reads_as_the_text(text: str) -> None:
    shown = one_line(text)
    assert _controls(shown) <= {"\t"}
    assert one_line(shown) == shown
    if not _controls(text) and text.isprintable():
        assert shown == text


@given(TEXTS)
def test_lines_of_text_keep_their_ends_and_have_no_other_control(text: str) -> None:
    shown = lines_of_text(text)
    assert _controls(shown) <= {"\t", "\n"}
    assert shown.count("\n") == text.count("\n")


@given(TEXTS)
def test_json_keeps_its_value(text: str) -> None:
    made = safe_json(json.dumps([text], indent=2, ensure_ascii=False))
    assert json.loads(made) == [text]
    assert _controls(made) <= {"\n"}
