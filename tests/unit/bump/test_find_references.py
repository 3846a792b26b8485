"""References are found in text of any kind, with the reason why one is kept."""

from __future__ import annotations

import pytest

from farm.bump.find_references import BY_DIGEST, PINNED, TagPattern, find_bare_tags, find_references

HASH = "0123456789abcdef0123456789abcdef01234567"
NAMES = {name: name for name in ("docker.io/linuxkit/foo", "localhost:5000/me/foo")}


def tags(text: str) -> list[str]:
    return [one.tag for one in find_references(text.encode(), NAMES)]


@pytest.mark.parametrize(
    "text",
    [
        "FROM {} AS x",
        "COPY --from={} / /",
        "  image: {}",
        '  image: "{}"',
        "  - {}",
        "VARIABLE={}",
        "VARIABLE?={}",
        "See {}.",
        "({})",
        "`{}`, and more",
        "docker://{}",
        "{}\r",
    ],
)
@pytest.mark.parametrize("name", ["linuxkit/foo", "docker.io/linuxkit/foo", "localhost:5000/me/foo"])
def test_a_reference_is_found_wherever_it_stands(text: str, name: str) -> None:
    assert tags(text.format(f"{name}:{HASH}")) == [HASH]


@pytest.mark.parametrize(
    "text",
    [
        f"linuxkit/foobar:{HASH}",
        f"my-linuxkit/foo:{HASH}",
        f"ghcr.io/linuxkit/foo:{HASH}",
        f"other/linuxkit/foo:{HASH}",
        f"${{ORG}}/linuxkit/foo:{HASH}",
        "linuxkit/foo:<hash>",
        "linuxkit/foo:${HASH}",
        "linuxkit/foo",
        "linuxkit/foo: bar",
    ],
)
def test_what_is_another_name_or_has_no_tag_is_not_found(text: str) -> None:
    assert tags(text) == []


def test_a_reference_knows_its_line() -> None:
    found = find_references(f"a\nb: linuxkit/foo:{HASH}\n\nc: linuxkit/foo:x".encode(), NAMES)
    assert [(one.line, one.tag) for one in found] == [(2, HASH), (4, "x")]


@pytest.mark.parametrize(
    "text",
    [
        f"image: linuxkit/foo:{HASH}  # farm: pinned",
        f"image: linuxkit/foo:{HASH}  #farm:pinned until the kernel is fixed",
        f"# farm: pinned, see issue 7\nFROM linuxkit/foo:{HASH}",
        f"<!-- farm: pinned -->\nlinuxkit/foo:{HASH}",
        f"// farm: pinned\r\nlinuxkit/foo:{HASH}\r\n",
    ],
)
def test_a_comment_pins_the_references_of_its_line_or_the_next(text: str) -> None:
    (one,) = find_references(text.encode(), NAMES)
    assert one.kept == PINNED


@pytest.mark.parametrize(
    "text",
    [
        f"# farm: pinned\n\nFROM linuxkit/foo:{HASH}",
        f"a: b # farm: pinned\nFROM linuxkit/foo:{HASH}",
        f"FROM linuxkit/foo:{HASH}\n# farm: pinned",
        f"# farm: pinnedly\nFROM linuxkit/foo:{HASH}",
        f"farm: pinned\nFROM linuxkit/foo:{HASH}",
    ],
)
def test_a_comment_elsewhere_pins_nothing(text: str) -> None:
    (one,) = find_references(text.encode(), NAMES)
    assert one.kept == ""


def test_a_digest_pins() -> None:
    (one,) = find_references(f"linuxkit/foo:{HASH}@sha256:{'1' * 64}".encode(), NAMES)
    assert one.kept == BY_DIGEST


@pytest.mark.parametrize(
    ("template", "tag", "arch"),
    [
        ("{{.Hash}}", HASH, ""),
        ("{{.Hash}}", f"{HASH}-s390x", "-s390x"),
        ("{{.Hash}}", f"{HASH}-dirty-1234567", ""),
        ("{{.Hash}}", "v1.2", None),
        ("{{.Hash}}", "latest", None),
        ("6.1-{{ .Hash }}", f"6.1-{HASH}", ""),
        ("6.1-{{.Hash}}", f"6.2-{HASH}", None),
        ("6.1-{{.Hash}}", HASH, ""),
    ],
)
def test_only_tags_that_a_package_may_have_had_are_its_own(template: str, tag: str, arch: str | None) -> None:
    assert TagPattern.of_template(template).arch_of(tag) == arch


def test_a_tag_that_stands_alone_is_found_and_a_part_of_a_longer_one_is_not() -> None:
    text = f"ARG A={HASH}\nARG B=f{HASH}\nFROM linuxkit/foo:{HASH}\n# farm: pinned\nARG C={HASH}\n".encode()
    whole = find_references(text, NAMES)
    found = list(find_bare_tags(text, {HASH: "docker.io/linuxkit/foo"}, whole))
    assert [(one.line, one.kept) for one in found] == [(1, ""), (5, PINNED)]


def test_of_tags_that_overlap_the_longest_is_found_and_a_tag_without_a_hash_is_not() -> None:
    text = f"ARG TAG={HASH}-amd64\nADD foo-2.1.0.tar /\nRUN get /latest/\n".encode()
    name = "docker.io/linuxkit/foo"
    tags = {HASH: name, f"{HASH}-amd64": name, "1.0": name, "latest": name}
    assert [one.tag for one in find_bare_tags(text, tags, [])] == [f"{HASH}-amd64"]
