"""What the stack's images are built from where no registry is reached: made once, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.system.locks import locked
from lab.setup import CACHE, ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUITE = "bookworm"
ARCHIVE = "http://deb.debian.org/debian"
# Debian 13 has Docker Compose 2.26; its program runs on Debian 12, too.
_COMPOSE_SUITE = "trixie"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")


@contextmanager
def _alone() -> Iterator[None]:
    """One process fills the cache, others wait for it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "lock"):
        yield


def debian() -> Path:
    """A tar of Debian's smallest system, for `docker import`."""
    made = CACHE / f"debian-{SUITE}.tar"
    with _alone():
        if not made.exists():
            root = _empty(CACHE / "debootstrap")
            run(["debootstrap", "--variant=minbase", SUITE, str(root), ARCHIVE], root=True)
            excluded = [f"--exclude=./{name}/*" for name in _NEEDLESS]
            new = made.with_suffix(".new")
            run(["tar", "--create", f"--file={new}", f"--directory={root}", *excluded, "."], root=True)
            run(["rm", "-rf", str(root)], root=True)
            new.rename(made)
    return made


def docker_compose() -> Path:
    """The program docker-compose, 2.26."""
    made = CACHE / "docker-compose"
    with _alone():
        if not made.exists():
            work = _empty(CACHE / "apt-compose")
            for part in ("lists/partial", "archives/partial", "deb"):
                (work / part).mkdir(parents=True)
            (work / "sources.list").write_text(f"deb [signed-by={_KEYS}] {ARCHIVE} {_COMPOSE_SUITE} main\n")
            options = [
                f"Dir::Etc::SourceList={work / 'sources.list'}",
                "Dir::Etc::SourceParts=/nonexistent",
                f"Dir::State::Lists={work / 'lists'}",
                f"Dir::Cache={work}",
                "APT::Sandbox::User=root",
                "Acquire::Retries=3",
            ]
            apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
            run([*apt, "update"])
            run([*apt, "download", "docker-compose"], cwd=work / "deb")
            (package,) = (work / "deb").glob("*.deb")
            run(["dpkg", "-x", str(package), str(work / "root")])
            (work / "root/usr/libexec/docker/cli-plugins/docker-compose").rename(made)
            shutil.rmtree(work)
    return made


def wheelhouse() -> Path:
    """The wheels that compose/requirements*.txt lock, in a folder that is named by them."""
    locks = [ROOT / "compose" / name for name in ("requirements.txt", "requirements-build.txt")]
    named = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    made = CACHE / f"wheelhouse-{named}"
    with _alone():
        if not made.exists():
            work = _empty(CACHE / "wheelhouse-new")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            asked = [word for lock in locks for word in ("--requirement", str(lock))]
            # The image's Python is Debian 12's, whatever runs this.
            run(
                [
                    *pip,
                    "--python-version=3.11",
                    "--require-hashes",
                    "--only-binary=:all:",
                    "--dest",
                    str(work),
                    *asked,
                ]
            )
            work.rename(made)
    return made


def _empty(directory: Path) -> Path:
    if directory.exists():
        run(["rm", "-rf", str(directory)], root=os.geteuid() != 0)
    directory.mkdir(parents=True)
    return directory
