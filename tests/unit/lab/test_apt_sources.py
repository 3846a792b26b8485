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


def paragraph(suite: str, types: str = "deb", **more: str) -> str:
    """A source in deb822, with further fields."""
    fields = {"Types": types, "URIs": URI, "Suites": suite, "Components": "main", **more}
    return "".join(f"{name.replace('_', '-')}: {text}\n" for name, text in fields.items())


DISABLED = (
    f"{paragraph('a', Enabled='no')}{_BLANK}\n\n{paragraph('b', 'deb-src')}\n{paragraph('c', Enabled='yes')}"
)


def source(*suites: str, uri: str = URI, **options: str) -> Source:
    """A source with the component main."""
    return Source(
        uri, suites, ("main",), tuple((key.replace("_", "-"), text) for key, text in options.items())
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *((line, None) for line in ("", "# deb http://a b main", f"deb-src {URI} a main", "deb", "debris")),
        (f"deb {URI} bookworm main", source("bookworm")),
        (f"deb\t{URI}/  bookworm\tmain # nearest", source("bookworm", uri=f"{URI}/")),
        (f"deb [signed-by={KEYS}] {URI} bookworm main", source("bookworm", signed_by=KEYS)),
        (f"deb [ arch=amd64,arm64 trusted=yes lang=en ] {URI} trixie main", source("trixie", trusted="yes")),
        (f"deb [Check-Valid-Until=no arch-=i386] {URI} sid main", source("sid", check_valid_until="no")),
        (f"deb {URI} bookworm main contrib", Source(URI, ("bookworm",), ("main", "contrib"))),
        (f"deb {URI} ./", Source(URI, ("./",), ())),
    ],
)
def test_a_line_is_one_source_except_comments_source_packages_and_broken_lines(
    line: str, expected: Source | None
) -> None:
    assert list(parse_list(line)) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (paragraph("bookworm"), [source("bookworm")]),
        (SEVERAL, [source("bookworm", "bookworm-updates", uri=u, signed_by=KEYS) for u in (URI, "http://b")]),
        (DISABLED, [source("c")]),
        (paragraph("bookworm") + f"Signed-By:{BLOCK}\n\n", [source("bookworm", signed_by=BLOCK)]),
        ("", []),
    ],
)
def test_a_paragraph_is_a_source_for_each_uri(text: str, expected: list[Source]) -> None:
    assert list(parse_deb822(text)) == expected


@pytest.mark.parametrize("options", [{}, {"signed_by": KEYS}, {"signed_by": BLOCK, "trusted": "no"}])
def test_what_is_written_for_another_suite_reads_back_with_the_same_keys(options: dict[str, str]) -> None:
    there = source("bookworm", **options)
    assert list(parse_deb822(there.deb822("trixie"))) == [source("trixie", **options)]


OWN = source("bookworm", "bookworm-updates")
MIRROR = source("bookworm", uri="https://artifacts.example.org/apt", signed_by=str(KEYRING))


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (OWN, []),
        (OWN, [Source(URI, ("bookworm",), ("contrib",))]),
        (OWN, [source("bookworm-security", uri="http://mirror.example.org/debian-security")]),
        (OWN, [source("stable", uri="https://dl.example.com/debian"), source("trixie")]),
        (OWN, [source("bookworm", uri="https://apt.example.com")]),
        (OWN, [source("bookworm", uri="cdrom:[Debian")]),
        (MIRROR, [source("bookworm", uri="https://apt.example.com/debian")]),
    ],
)
def test_the_archive_is_the_one_with_this_systems_suite_and_debians_keys_or_name(
    own: Source, others: list[Source]
) -> None:
    assert choose([*others, own], "bookworm") == choose([own, *others], "bookworm") == own


@pytest.mark.parametrize("codename", ["bookworm", "trixie"])
@pytest.mark.parametrize("name", ["sources.list", "sources.list.d/a.list", "sources.list.d/a.sources"])
def test_the_machines_files_are_read_in_both_formats(tmp_path: Path, codename: str, name: str) -> None:
    deb822 = source(codename, signed_by=KEYS).deb822(codename)
    line = f"deb [signed-by={KEYS}] {URI} {codename} main\n"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    ((tmp_path / name).parent / "old.sources.disabled").write_text(paragraph("x"))
    (tmp_path / name).write_text(deb822 if name.endswith(".sources") else line)
    (tmp_path / "os-release").write_text(f'ID=debian\nVERSION_CODENAME="{codename}"\n')
    assert machine_archive(tmp_path, tmp_path / "os-release") == source(codename, signed_by=KEYS)


def test_a_list_of_mirrors_stands_for_its_first_and_a_machine_without_an_archive_is_told_to_add_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    with pytest.raises(SetupError, match="main of this system; add the distribution's archive"):
        machine_archive(tmp_path, tmp_path / "os-release")
    (tmp_path / "mirrors").write_text(f"# nearest first\n{URI}\tpriority:1\nhttp://far/debian\n")
    (tmp_path / "sources.list").write_text(f"deb mirror+file:{tmp_path}/mirrors bookworm main\n")
    assert machine_archive(tmp_path, tmp_path / "os-release").uri == URI


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
