"""The archive in this machine's apt sources, and its keys; all but `machine_archive` is pure.

Both formats of sources.list(5) are read: one line for each source (.list), and deb822 paragraphs (.sources).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.machine import KEYRING, OS_RELEASE, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

APT = Path("/etc/apt")
# `deb [OPTION=VALUE ...] URI SUITE COMPONENT...`
_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>[^#]*)")
_FALSE = {"no", "false", "without", "off", "disable", "0"}
_TRUE = {"yes", "true", "with", "on", "enable", "1"}
_CHOICES = {"arch", "architectures", "lang", "languages", "target", "targets", "pdiffs"}
"""Options that choose among what the archive has; the lab chooses for itself."""
_FIELDS = {"types", "uris", "suites", "components", "enabled"}
_MIRRORS = "mirror+file:"
_KEY_BLOCK = "-----BEGIN PGP"


@dataclass(frozen=True, slots=True)
class Source:
    """An archive at one URI; in apt's files, one source may name several."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    """Further fields, such as signed-by, in lower case and with their values as in deb822."""

    @property
    def signed_by(self) -> str:
        """Paths of keyrings, fingerprints, or a key block; empty for apt's default keys."""
        return dict(self.options).get("signed-by", "")

    @property
    def trusted(self) -> bool:
        """Whether signatures are not checked."""
        return dict(self.options).get("trusted", "").lower() in _TRUE

    def deb822(self, suite: str) -> str:
        """The text of a .sources file for one suite of this archive."""
        fields = {
            "Types": "deb",
            "URIs": self.uri,
            "Suites": suite,
            "Components": "main",
            **dict(self.options),
        }
        return "".join(
            f"{name}:{'' if text.startswith(chr(10)) else ' '}{text}\n" for name, text in fields.items()
        )

    def keyring(self) -> bytes:
        """The keys that sign the archive, as gpgv reads them.

        Raises:
            SetupError: a keyring cannot be read.
        """
        if _KEY_BLOCK in self.signed_by:
            return dearmored(self.signed_by)
        named = [Path(word) for word in re.split(r"[\s,]+", self.signed_by) if word.startswith("/")]
        try:
            contents = [
                path.read_bytes() for path in named or (KEYRING, *APT.glob("trusted.gpg.d/*.[ga][ps][gc]"))
            ]
        except OSError as error:
            raise SetupError(f"cannot read the keyring of {self.uri}: {error}") from error
        return b"".join(dearmored(each.decode()) if each.startswith(b"-----") else each for each in contents)


def parse_list(text: str) -> Iterator[Source]:
    """Read the one-line format."""
    for line in text.splitlines():
        if not (found := _LINE.match(line.strip())):
            continue
        pairs = [word.partition("=") for word in (found["options"] or "").split()]
        options = {name.rstrip("+-").lower(): value for name, _, value in pairs}
        yield Source(
            found["uri"], (found["suite"],), tuple(found["components"].split()), _further(options.items())
        )


def parse_deb822(text: str) -> Iterator[Source]:
    """Read the deb822 format: paragraphs of fields, whose values may go on in indented lines."""
    # Comments are allowed between the lines of a field.
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n[ \t]*(?:\n[ \t]*)+", lines.strip()):
        pairs = re.findall(r"(?m)^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph)
        fields = {name.lower(): value.rstrip() for name, value in pairs}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "").lower() in _FALSE:
            continue
        suites, components = (tuple(fields.get(name, "").split()) for name in ("suites", "components"))
        for uri in fields.get("uris", "").split():
            yield Source(uri, suites, components, _further(fields.items()))


def _further(options: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in options if name not in _CHOICES | _FIELDS)


def choose(sources: Iterable[Source], codename: str) -> Source | None:
    """The source of the distribution itself; None if there is none.

    It has the component main of the machine's suite. Third parties may have that, too: Debian's own is signed
    with debian-archive-keyring, or has debian in its URI.
    """
    names = {codename, "stable", "oldstable", "testing", "unstable", "sid"}
    fitting = [
        one
        for one in sources
        if "main" in one.components and names.intersection(one.suites) and not one.uri.startswith("cdrom:")
    ]
    return max(
        fitting,
        key=lambda one: (codename in one.suites, "debian-archive" in one.signed_by, "debian" in one.uri),
        default=None,
    )


def machine_archive(apt: Path = APT, os_release: Path = OS_RELEASE) -> Source:
    """The archive that this machine's apt uses.

    Raises:
        SetupError: its sources name none.
    """
    sources: list[Source] = []
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        if path.is_file() and path.suffix in (".list", ".sources"):
            sources += (parse_list if path.suffix == ".list" else parse_deb822)(path.read_text())
    codename = re.search(r"(?m)^VERSION_CODENAME=\W*(\w+)", os_release.read_text())
    if archive := choose(sources, codename[1] if codename else ""):
        return replace(archive, uri=_resolved(archive.uri))
    raise SetupError(
        f"no source in {apt} has the component main of this system; add the distribution's archive"
    )


def _resolved(uri: str) -> str:
    """The first of the mirrors that the file of a mirror+file: URI lists, else the URI."""
    if not uri.startswith(_MIRRORS):
        return uri
    lines = Path(uri.removeprefix(_MIRRORS)).read_text().splitlines()
    return next(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


def dearmored(text: str) -> bytes:
    """The bytes of the key blocks in a text (RFC 9580, section 6.2); a dot is a blank line, as in deb822."""
    lines = [line.strip() for line in text.splitlines()]
    blocks = re.findall(r"-----BEGIN PGP[^\n]*\n(.*?)\n-----END PGP", "\n".join(lines), re.DOTALL)
    # Headers end at the first blank line; a line that begins with = is the checksum.
    bodies = [re.split(r"\n\.?\n|^\.?\n", block, maxsplit=1)[-1].split() for block in blocks]
    return b"".join(base64.b64decode("".join(line for line in body if line[0] != "=")) for body in bodies)
