"""The checkout, the architectures, and how a command is run on this machine; standard library alone."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".lab"
"""What this checkout's commands write; the cache is elsewhere, in `lab.cache`."""
# LinuxKit's name of an architecture: the kernel's name of it.
ARCHES = {"amd64": "x86_64", "arm64": "aarch64", "s390x": "s390x"}
DOCKER = "/usr/bin/docker"
OS_RELEASE = Path("/etc/os-release")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""The keys of Debian's archive, for a source of apt's that names none."""
_LIMIT = 900
"""Seconds that one command may take: a download over a slow line."""


class SetupError(Exception):
    """A step that failed, in one sentence."""


def native() -> str:
    """Debian's name of this machine's architecture, which for those in `ARCHES` is LinuxKit's too."""
    machine = platform.machine()
    return next((arch for arch, name in ARCHES.items() if name == machine), machine)


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
