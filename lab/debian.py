"""Programs and the base system from Debian's archive, of other suites and architectures, in the cache."""

from __future__ import annotations

import functools
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.apt_sources import machine_archive
from lab.cache import Entry, remove
from lab.machine import ARCHES, ROOT, native, run

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITE = "bookworm"
"""Debian 12: the images of the stack and of the lab are made from it, whatever this machine runs."""
_NEWER_SUITE = "trixie"
"""Debian 13 has Docker Engine 26, buildx, and Docker Compose 2.26; they run on Debian 12, too."""
_ENGINE_PACKAGES = ("docker.io", "docker-cli", "docker-buildx")
_ENGINE = Entry("docker-engine", (_NEWER_SUITE, *_ENGINE_PACKAGES, native()))
_COSIGN = Entry("cosign", (_NEWER_SUITE, native()))
_PLUGINS = Path("usr/libexec/docker/cli-plugins")
_BASE_TAR = "base.tar"
_NO_ARCHIVE = "http://archive.invalid/debian"
"""The archive in the base system's sources: builds from it need the mirror."""
_NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")
_LOCKS = ("requirements.txt", "requirements-build.txt")


def busybox(arch: str) -> Path:
    """The statically linked busybox of an architecture, from Debian's package for it."""
    return _busybox(arch).filled(functools.partial(_unpack_busybox, arch)) / "busybox"


def _busybox(arch: str) -> Entry:
    return Entry("busybox", (SUITE, arch))


def missing_busybox() -> list[str]:
    """Architectures whose busybox the cache does not hold."""
    return [arch for arch in ARCHES if not _busybox(arch).exists()]


def fetch_busybox() -> None:
    """Fetch those that are missing."""
    for arch in missing_busybox():
        busybox(arch)


def _unpack_busybox(arch: str, into: Path) -> None:
    _unpack(["busybox-static"], SUITE, arch, into / "root")
    (program,) = (path for path in into.glob("root/**/bin/busybox") if not path.is_symlink())
    program.rename(into / "busybox")
    remove(into / "root")


def has_newer_engine() -> bool:
    """Whether the cache holds the newer Docker Engine with buildx."""
    return _ENGINE.exists()


def newer_engine() -> Path:
    """The program dockerd 26; neither it nor its client and buildx are installed."""
    unpacked = _ENGINE.filled(lambda new: _unpack(_ENGINE_PACKAGES, _NEWER_SUITE, native(), new))
    return unpacked / "usr/sbin/dockerd"


def buildx() -> Path:
    """The program docker-buildx."""
    return newer_engine().parents[2] / _PLUGINS / "docker-buildx"


def has_cosign() -> bool:
    """Whether the cache holds cosign."""
    return _COSIGN.exists()


def cosign() -> Path:
    """The program cosign 2.5 of Debian 13, whose archive apt verifies; it is not installed."""
    return _COSIGN.filled(lambda new: _unpack(["cosign"], _NEWER_SUITE, native(), new)) / "usr/bin/cosign"


def docker_compose() -> Path:
    """The program docker-compose."""
    entry = Entry("docker-compose", (_NEWER_SUITE, native()))
    unpacked = entry.filled(lambda new: _unpack(["docker-compose"], _NEWER_SUITE, native(), new))
    return unpacked / _PLUGINS / "docker-compose"


def base_system() -> Path:
    """A tar of Debian's smallest system, for `docker import`."""

    def fill(new: Path) -> None:
        archive = machine_archive()
        keys, root = new / "archive.gpg", new / "root"
        keys.write_bytes(archive.keyring())
        checked = ["--no-check-gpg"] if archive.trusted else [f"--keyring={keys}"]
        run(["debootstrap", "--variant=minbase", *checked, SUITE, str(root), archive.uri], root=True)
        run(["cp", str(keys), str(root / "etc/apt/trusted.gpg.d/machine.gpg")], root=True)
        (new / "sources.list").write_text(f"deb {_NO_ARCHIVE} {SUITE} main\n")
        run(["cp", str(new / "sources.list"), str(root / "etc/apt/sources.list")], root=True)
        excluded = [f"--exclude=./{name}/*" for name in _NEEDLESS]
        made = f"--file={new / _BASE_TAR}"
        run(["tar", "--create", made, f"--directory={root}", *excluded, "."], root=True)
        remove(root)

    return Entry("debian-base", (SUITE, native(), _NO_ARCHIVE, *_NEEDLESS)).filled(fill) / _BASE_TAR


def wheelhouse() -> Path:
    """A directory of the wheels that compose/requirements*.txt lock, for the Python of the stack's images."""
    locks = [ROOT / "compose" / name for name in _LOCKS]
    version = "--python-version=3.11"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", version]
    command += ["--require-hashes", "--only-binary=:all:"]
    command += [word for lock in locks for word in ("--requirement", str(lock))]
    entry = Entry("wheelhouse", (version, native(), *(lock.read_text() for lock in locks)))
    return entry.filled(lambda new: run([*command, "--dest", str(new)]))


def _unpack(packages: Sequence[str], suite: str, arch: str, into: Path) -> None:
    """Unpack Debian packages, of any suite and architecture, with package lists apart from the machine's."""
    work = into.with_name(f"{into.name}.apt")
    remove(work)
    for part in ("lists/partial", "archives/partial", "deb"):
        (work / part).mkdir(parents=True)
    (work / "archive.sources").write_text(machine_archive().deb822(suite))
    options = [
        f"Dir::Etc::SourceList={work / 'archive.sources'}",
        "Dir::Etc::SourceParts=/dev/null",
        "Dir::State::status=/dev/null",
        f"Dir::State::Lists={work / 'lists'}",
        f"Dir::Cache={work}",
        f"APT::Architecture={arch}",
        f"APT::Architectures={arch}",
        "APT::Sandbox::User=root",
        "Acquire::Retries=3",
    ]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    run([*apt, "update"])
    run([*apt, "download", *packages], cwd=work / "deb")
    for package in sorted((work / "deb").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(into)])
    shutil.rmtree(work)
