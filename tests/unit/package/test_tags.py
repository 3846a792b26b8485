from __future__ import annotations

import hashlib

import pytest

from farm.errors import InputError
from farm.package.tags import combined_hash, dirty_hash, render_tag


def test_without_extra_sources_the_hash_is_that_of_the_tree() -> None:
    assert combined_hash(["ab"]) == "ab"


def test_the_order_of_extra_sources_counts() -> None:
    assert combined_hash(["ab", "cd"]) == hashlib.sha1(b"abcd").hexdigest()
    assert combined_hash(["ab", "cd"]) != combined_hash(["cd", "ab"])


def test_the_hash_of_uncommitted_content_has_seven_digits() -> None:
    assert dirty_hash("ab", [b"x", b"y"]) == f"ab-dirty-{hashlib.sha256(b'xy').hexdigest()[:7]}"


@pytest.mark.parametrize(
    ("template", "tag"),
    [("{{.Hash}}", "ab"), ("v1-{{ .Hash }}", "v1-ab"), ("v9", "v9"), ("{{.Hash}}-{{.Hash}}", "ab-ab")],
)
def test_a_template_is_filled_in(template: str, tag: str) -> None:
    assert render_tag(template, "ab") == tag


@pytest.mark.parametrize("template", ["{{.Commit}}", "{{.Hash", "{{if .Hash}}x{{end}}"])
def test_a_template_with_another_placeholder_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="invalid tag template"):
        render_tag(template, "ab")
