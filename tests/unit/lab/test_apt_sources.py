"""Set-up uses the archive, the mirror and the keys that this machine's apt uses, in either format."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from lab.apt_sources import Source, choose, dearmored, machine_archive, parse_deb822, parse_list
from lab.machine import KEYRING, SetupError

if TYPE_CHECKING:
    from pathlib import Path

URI = "http://mirror.example.org/debian"
KEYS = "/usr/share/keyrings/example.gpg"
BLOCK = """
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 a2V5IG1hdGVy
 aWFs
 =njUN
 -----END PGP PUBLIC KEY BLOCK-----"""

SEVERAL = f"""\
# Debian
types: deb deb-src
URIS: {URI} http://b
Suites:
 bookworm
# in the middle of a field
 bookworm-updates
Components: main
Architectures: amd64
Signed-By: {KEYS}"""
_BLANK = " \t"
DISABLED = f"""\
Types: deb
URIs: {URI}
Suites: a
Components: main
Enabled: no
{_BLANK}

Types: deb-src
URIs: {URI}
Suites: b
Components: main

Types: deb
URIs: {URI}
Suites: c
Components: main
Enabled: yes
"""


def source(*suites: str, uri: str = URI, **options: str) -> Source:
    """A source with the component main."""
    return Source(
        uri, suites, ("main",), tuple((key.replace("_", "-"), text) for key, text in options.items())
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"deb {URI} bookworm main", source("bookworm")),
        (f"deb\t{URI}/  bookworm\tmain # nearest", source("bookworm", uri=f"{URI}/")),
        (f"deb [signed-by={KEYS}] {URI} bookworm main", source("bookworm", signed_by=KEYS)),
        (f"deb [ arch=amd64,arm64 trusted=yes lang=en ] {URI} trixie main", source("trixie", trusted="yes")),
        (f"deb [Check-Valid-Until=no arch-=i386] {URI} sid main", source("sid", check_valid_until="no")),
        (f"deb {URI} bookworm main contrib", Source(URI, ("bookworm",), ("main", "contrib"))),
        (f"deb {URI} ./", Source(URI, ("./",), ())),
    ],
)
def test_a_line_is_one_source(line: str, expected: Source) -> None:
    assert list(parse_list(line)) == [expected]


@pytest.mark.parametrize(
    "line", ["", "# deb http://a b main", f"deb-src {URI} bookworm main", "deb", "debris"]
)
def test_comments_sources_of_source_packages_and_broken_lines_are_skipped(line: str) -> None:
    assert list(parse_list(line)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Types: deb\nURIs: {URI}\nSuites: bookworm\nComponents: main\n", [source("bookworm")]),
        (SEVERAL, [source("bookworm", "bookworm-updates", uri=u, signed_by=KEYS) for u in (URI, "http://b")]),
        (DISABLED, [source("c")]),
        (
            f"Types: deb\nURIs: {URI}\nSuites: bookworm\nComponents: main\nSigned-By:{BLOCK}\n\n",
            [source("bookworm", signed_by=BLOCK)],
        ),
        ("", []),
    ],
)
def test_a_paragraph_is_a_source_for_each_uri(text: str, expected: list[Source]) -> None:
    assert list(parse_deb822(text)) == expected


@pytest.mark.parametrize("options", [{}, {"signed_by": KEYS}, {"signed_by": BLOCK, "trusted": "no"}])
def test_what_is_written_for_another_suite_reads_back_with_the_same_keys(options: dict[str, str]) -> None:
    there = source("bookworm", **options)
    assert list(parse_deb822(there.deb822("trixie"))) == [source("trixie", **options)]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [Source(URI, ("bookworm",), ("contrib",))],
        [source("bookworm-security", uri="http://mirror.example.org/debian-security")],
        [source("stable", uri="https://dl.example.com/debian"), source("trixie")],
        [source("bookworm", uri="https://apt.example.com")],
        [source("bookworm", uri="cdrom:[Debian")],
    ],
)
def test_the_archive_is_the_one_with_this_systems_suite(others: list[Source]) -> None:
    own = source("bookworm", "bookworm-updates")
    assert choose([*others, own], "bookworm") == choose([own, *others], "bookworm") == own


def test_a_mirror_of_any_name_is_known_by_debians_keys() -> None:
    own = source("bookworm", uri="https://artifacts.example.org/apt", signed_by=str(KEYRING))
    assert choose([source("bookworm", uri="https://apt.example.com/debian"), own], "bookworm") == own


@pytest.mark.parametrize("codename", ["bookworm", "trixie"])
@pytest.mark.parametrize("name", ["sources.list", "sources.list.d/a.list", "sources.list.d/a.sources"])
def test_the_machines_files_are_read_in_both_formats(tmp_path: Path, codename: str, name: str) -> None:
    (tmp_path / "os-release").write_text(f'ID=debian\nVERSION_CODENAME="{codename}"\n')
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "old.sources.disabled").write_text(
        "Types: deb\nURIs: http://old\nSuites: x\nComponents: main"
    )
    deb822 = source(codename, signed_by=KEYS).deb822(codename)
    path.write_text(
        deb822 if name.endswith(".sources") else f"deb [signed-by={KEYS}] {URI} {codename} main\n"
    )
    assert machine_archive(tmp_path, tmp_path / "os-release") == source(codename, signed_by=KEYS)


def test_a_list_of_mirrors_stands_for_its_first(tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text(f"# nearest first\n{URI}\tpriority:1\nhttp://far/debian\n")
    (tmp_path / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    (tmp_path / "sources.list").write_text(f"deb mirror+file:{tmp_path}/mirrors bookworm main\n")
    assert machine_archive(tmp_path, tmp_path / "os-release").uri == URI


def test_a_machine_without_an_archive_is_told_to_add_it(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=debian\n")
    with pytest.raises(SetupError, match="main of this system; add the distribution's archive"):
        machine_archive(tmp_path, tmp_path / "os-release")


def test_keys_come_from_the_named_files_or_the_source_itself(tmp_path: Path) -> None:
    binary, armored = tmp_path / "a.gpg", tmp_path / "b.asc"
    binary.write_bytes(b"\x99binary")
    armored.write_text("\n".join(line.strip(" .") for line in BLOCK.splitlines()).strip())
    assert source(signed_by=f"{binary},{armored}").keyring() == b"\x99binarykey material"
    assert source(signed_by=BLOCK).keyring() == b"key material"
    with pytest.raises(SetupError, match=rf"cannot read the keyring of {URI}: .*none.gpg"):
        source(signed_by=f"{tmp_path}/none.gpg").keyring()


def test_an_armored_key_may_have_headers() -> None:
    body = base64.b64encode(b"key").decode()
    block = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\nComment: x\n\n{body}\n=abcd\n-----END PGP"
    assert dearmored(block * 2) == b"keykey"
