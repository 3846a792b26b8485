"""The Debian packages that the demo and the tests need on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.machine import DOCKER, KEYRING, SetupError, run

# Each package, and a program that exists once it is installed; another package may have brought it.
PACKAGES = {
    "docker.io": "dockerd",
    "docker-cli": "",
    "docker-registry": "docker-registry",
    "notary": "notary-server",
    "redis-server": "redis-server",
    "skopeo": "skopeo",
    "graphviz": "dot",
    "systemd": "systemd-analyze",
    "qemu-user-static": "qemu-s390x-static",
    "binfmt-support": "update-binfmts",
    "iptables": "iptables",
    "iproute2": "ip",
    "openssl": "openssl",
    "openssh-client": "ssh-keygen",
    "git": "git",
    "util-linux": "setpriv",
    "debootstrap": "debootstrap",
    "ca-certificates": "update-ca-certificates",
    "debian-archive-keyring": "",
    "python3-venv": "",
}
_PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """Debian packages that are not installed."""
    found = [name for name, program in PACKAGES.items() if program and not _installed(program)]
    # From Debian 13 on the client has a package of its own; before, no such package exists.
    if "docker.io" not in found and not Path(DOCKER).exists():
        found.append("docker-cli")
    if not KEYRING.exists():
        found.append("debian-archive-keyring")
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian ships it in python3-venv
    except ImportError:
        found.append("python3-venv")
    return found


def _installed(program: str) -> bool:
    return shutil.which(program, path=_PROGRAMS) is not None


def install() -> None:
    """Install them; where there is no systemd, that starts no service."""
    run(["apt-get", "update", "-qq"], root=True)
    while names := missing():
        print(f"    {' '.join(names)}", flush=True)
        options = ["-y", "-qq", "--no-install-recommends", "-o", "Acquire::Retries=3"]
        run(["apt-get", "install", *options, *names], root=True)
        if names == missing():
            raise SetupError(f"{', '.join(names)}: installed, but a program that is needed is still missing")
