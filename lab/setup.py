"""Set up a bare Debian machine for the demo and the tests: `python3 lab/setup.py`.

Runs before anything is installed, so it uses the standard library alone. Each step looks whether there is
something to do, says what it does, and does nothing twice.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BINFMT_RULES = Path("/usr/lib/binfmt.d")
CACHE = ROOT / ".lab" / "cache"
OS_RELEASE = Path("/etc/os-release")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BINFMT = Path("/proc/sys/fs/binfmt_misc")

# Each package, and a program that is there once it is installed; another package may have brought it.
PACKAGES = {
    "docker.io": "dockerd",
    "docker-cli": "",
    "docker-registry": "docker-registry",
    "notary": "notary-server",
    "redis-server": "redis-server",
    "skopeo": "skopeo",
    "qemu-user-static": "qemu-s390x-static",
    "binfmt-support": "update-binfmts",
    "iptables": "iptables",
    "iproute2": "ip",
    "openssl": "openssl",
    "git": "git",
    "util-linux": "setpriv",
    "debootstrap": "debootstrap",
    "ca-certificates": "update-ca-certificates",
    "debian-archive-keyring": "",
    "python3-venv": "",
}
_PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"
# LinuxKit's name of an architecture: Debian's name, the kernel's handler of its programs.
ARCHES = {"amd64": "x86_64", "arm64": "aarch64", "s390x": "s390x"}
DOCKER = "/usr/bin/docker"
# An engine of today beside the system's, and buildx, from the Debian that has them; its libc will do.
NEWER = CACHE / "docker-26"
_NEWER_PACKAGES = ("docker.io", "docker-cli", "docker-buildx")
_NEWER_SOURCE = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian trixie main\n"
BUILDX = NEWER / "usr/libexec/docker/cli-plugins/docker-buildx"
_LIMIT = 900
"""Seconds that one command may take: a download over a slow line."""


class SetupError(Exception):
    """A step that did not succeed, in one sentence."""


def main() -> int:
    """Do every step that is needed; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Install what the demo and the tests need on a Debian machine."
    )
    parser.parse_args()
    steps: list[tuple[str, Callable[[], bool], Callable[[], None]]] = [
        ("install Debian packages", lambda: bool(missing_packages()), install_packages),
        ("make the virtual environment .venv", lambda: not fresh_venv(), make_venv),
        ("register QEMU for foreign architectures", lambda: bool(unregistered()), register_qemu),
        ("fetch busybox for each architecture", lambda: bool(missing_busybox()), fetch_busybox),
        ("fetch Docker Engine 26 and buildx, to test against", lambda: not BUILDX.exists(), fetch_newer),
    ]
    try:
        check_system()
        needed = [(about, do) for about, wanted, do in steps if wanted()]
        for about, do in needed:
            print(f"set-up: {about}", flush=True)
            do()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    print("set-up: done" if needed else "set-up: everything is there", flush=True)
    return 0


def check_system() -> None:
    """Refuse a system on which the steps below would not work, and say what it needs."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is run by whatever python3 there is
        raise SetupError(f"this is Python {platform.python_version()}, and the farm needs 3.11 or later")
    if not {"debian", "ubuntu"} & _system() or not shutil.which("apt-get"):
        raise SetupError(
            f"this is neither Debian nor Ubuntu; install what Debian calls {', '.join(PACKAGES)}, "
            "make .venv, `pip install -e '.[dev]'` in it, register QEMU with binfmt_misc (flag F)"
        )
    if os.geteuid() != 0 and not shutil.which("sudo"):
        raise SetupError("only root can install packages, and there is no sudo; run this as root")


def _system() -> set[str]:
    """The names by which the system goes, in /etc/os-release: its own, and those that it is like."""
    try:
        pairs = dict(line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line)
    except OSError:
        return set()
    return {name for key in ("ID", "ID_LIKE") for name in pairs.get(key, "").strip('"').split()}


def run(command: list[str], *, root: bool = False, cwd: Path = ROOT) -> None:
    """Run a command, silently unless it fails.

    Raises:
        SetupError: it failed; the message shows its last lines.
    """
    sudo = ["sudo"] if root and os.geteuid() != 0 else []
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            [*sudo, *command],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"`{' '.join(command)}` did not run: {error}") from error
    if done.returncode:
        last = "\n    ".join(done.stdout.strip().splitlines()[-8:])
        raise SetupError(f"`{' '.join(command)}` failed with status {done.returncode}:\n    {last}")


def missing_packages() -> list[str]:
    """Debian packages that are not installed."""
    missing = [name for name, program in PACKAGES.items() if program and not _installed(program)]
    # From Debian 13 on the client has a package of its own; before, no such package exists.
    if "docker.io" not in missing and not Path(DOCKER).exists():
        missing.append("docker-cli")
    if not KEYRING.exists():
        missing.append("debian-archive-keyring")
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian keeps it in python3-venv
    except ImportError:
        missing.append("python3-venv")
    return missing


def _installed(program: str) -> bool:
    return shutil.which(program, path=_PROGRAMS) is not None


def install_packages() -> None:
    """Install them; where there is no systemd, that starts no service."""
    run(["apt-get", "update", "-qq"], root=True)
    while names := missing_packages():
        print(f"    {' '.join(names)}", flush=True)
        options = ["-y", "-qq", "--no-install-recommends", "-o", "Acquire::Retries=3"]
        run(["apt-get", "install", *options, *names], root=True)
        if names == missing_packages():
            raise SetupError(f"{', '.join(names)}: installed, but without what is needed of it")


def _stamp() -> tuple[Path, str]:
    return VENV / ".set-up-from", hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def fresh_venv() -> bool:
    """Whether .venv holds what pyproject.toml asks for."""
    path, wanted = _stamp()
    return path.is_file() and path.read_text() == wanted and (VENV / "bin" / "farm").exists()


def make_venv() -> None:
    """Make it, and install the project and its development tools into it."""
    # A link to a Python that is gone does not exist either.
    if not (VENV / "bin" / "python").exists() or not (VENV / "bin" / "pip").exists():
        run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    run([str(VENV / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "-e", ".[dev]"])
    path, wanted = _stamp()
    path.write_text(wanted)


def foreign() -> list[str]:
    """The architectures that this machine has to emulate."""
    return [arch for arch, machine in ARCHES.items() if machine != platform.machine()]


def unregistered() -> list[str]:
    """Foreign architectures whose programs the kernel does not hand to QEMU yet."""
    return [arch for arch in foreign() if not _registered(ARCHES[arch])]


def _registered(machine: str) -> bool:
    """Whether there is a handler, and the kernel keeps it open (flag F), so that containers need no copy."""
    handler = BINFMT / f"qemu-{machine}"
    lines = handler.read_text().splitlines() if handler.is_file() else []
    return "enabled" in lines and any(line.startswith("flags:") and "F" in line[6:] for line in lines)


def register_qemu() -> None:
    """Mount binfmt_misc where it is not, and register QEMU as Debian does when it starts up.

    Debian 12 knows how by update-binfmts, Debian 13 by the files of systemd's that it may run without.
    """
    if not (BINFMT / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], root=True)
    run(["update-binfmts", "--enable"], root=True)
    for arch in unregistered():
        rule = BINFMT_RULES / f"qemu-{ARCHES[arch]}.conf"
        if rule.exists():
            run(["sh", "-c", f"grep '^:' {rule} > {BINFMT / 'register'}"], root=True)
    if left := unregistered():
        raise SetupError(f"the kernel still does not run programs for {', '.join(left)}")


def busybox(arch: str) -> Path:
    """Where the statically linked busybox of an architecture is kept."""
    return CACHE / f"busybox-{arch}"


def missing_busybox() -> list[str]:
    """Architectures whose busybox is not there."""
    return [arch for arch in ARCHES if not busybox(arch).exists()]


def fetch_busybox() -> None:
    """Take each from Debian's package for that architecture."""
    for arch in missing_busybox():
        root = _unpacked(["busybox-static"], [f"APT::Architecture={arch}", f"APT::Architectures={arch}"])
        (found,) = (path for path in root.glob("**/bin/busybox") if not path.is_symlink())
        shutil.copy(found, busybox(arch).with_suffix(".new"))
        busybox(arch).with_suffix(".new").rename(busybox(arch))
        shutil.rmtree(root.parent)


def fetch_newer() -> None:
    """Unpack Debian 13's engine, client and buildx; nothing of them is installed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    sources = CACHE / "newer.list"
    sources.write_text(_NEWER_SOURCE)
    options = [f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null"]
    root = _unpacked(_NEWER_PACKAGES, [*options, "Dir::State::status=/dev/null"])
    sources.unlink()
    shutil.rmtree(NEWER, ignore_errors=True)
    root.rename(NEWER)
    shutil.rmtree(root.parent)


def _unpacked(packages: Sequence[str], options: Sequence[str]) -> Path:
    """Where Debian packages were unpacked, taken with package lists of our own."""
    work = CACHE / "apt"
    shutil.rmtree(work, ignore_errors=True)
    for part in ("lists/partial", "archives/partial", "deb"):
        (work / part).mkdir(parents=True)
    own = [f"Dir::State::Lists={work / 'lists'}", f"Dir::Cache={work}", "APT::Sandbox::User=root"]
    words = [word for option in (*options, *own, "Acquire::Retries=3") for word in ("-o", option)]
    apt = ["apt-get", "-qq", *words]
    run([*apt, "update"])
    run([*apt, "download", *packages], cwd=work / "deb")
    for package in (work / "deb").glob("*.deb"):
        run(["dpkg", "-x", str(package), str(work / "root")])
    return work / "root"


if __name__ == "__main__":
    sys.exit(main())
