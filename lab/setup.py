"""Set up a bare Debian machine for the demo and the tests: `python3 -m lab.setup`.

Runs before anything is installed, so it and all that it imports use the standard library alone. Each step
checks whether there is something to do, prints what it does, and does nothing twice.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

from farm.system.locks import locked
from lab import packages, qemu
from lab.machine import OS_RELEASE, STATE, SetupError

if TYPE_CHECKING:
    from collections.abc import Callable


class Step(NamedTuple):
    """One step of the set-up."""

    about: str
    is_needed: Callable[[], object]
    do: Callable[[], object]


def main() -> int:
    """Do every step that is needed; returns the exit code."""
    about = "Install what the demo and the tests need on a Debian machine."
    argparse.ArgumentParser(prog="python3 -m lab.setup", description=about).parse_args()
    try:
        check_system()
        done = _set_up()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    print("set-up: done" if done else "set-up: nothing to do", flush=True)
    return 0


def check_system() -> None:
    """Refuse a system on which the steps would fail, and say what it needs."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is run by any python3 that a machine has
        raise SetupError(f"this is Python {platform.python_version()}, and the farm needs 3.11 or later")
    if not {"debian", "ubuntu"} & _system() or not shutil.which("apt-get"):
        raise SetupError(
            f"this is neither Debian nor Ubuntu; install what Debian calls {', '.join(packages.PACKAGES)}, "
            "make .venv, `pip install -e '.[dev]'` in it, register QEMU with binfmt_misc (flag F)"
        )
    if os.geteuid() != 0 and not shutil.which("sudo"):
        raise SetupError("only root can install packages, and there is no sudo; run this as root")


def _system() -> set[str]:
    """The names of the system in /etc/os-release: its own, and those of the systems that it is like."""
    try:
        pairs = dict(line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line)
    except OSError:
        return set()
    return {name for key in ("ID", "ID_LIKE") for name in pairs.get(key, "").strip('"').split()}


def _set_up() -> bool:
    """Do the steps that are needed; returns whether there were any."""
    if not any(step.is_needed() for step in steps()):
        return False
    STATE.mkdir(exist_ok=True)
    # Another set-up of this checkout may do them meanwhile.
    with locked(STATE / "setup.lock"):
        for step in steps():
            if step.is_needed():
                print(f"set-up: {step.about}", flush=True)
                step.do()
    return True


def steps() -> list[Step]:
    """All steps, in order."""
    # Not above: a Python that is too old could not import them, and `check_system` tells its user so.
    from lab import cache, debian, venv  # noqa: PLC0415 - see above

    return [
        Step("install Debian packages", packages.missing, packages.install),
        Step("make the virtual environment .venv", lambda: not venv.is_fresh(), venv.make),
        Step("register QEMU for foreign architectures", qemu.unregistered, qemu.register),
        Step("fetch busybox for each architecture", debian.missing_busybox, debian.fetch_busybox),
        Step(
            "fetch Docker Engine 26 and buildx, to test against",
            lambda: not debian.has_newer_engine(),
            debian.newer_engine,
        ),
        Step("fetch cosign of Debian 13, to test with", lambda: not debian.has_cosign(), debian.cosign),
        Step(f"remove what the cache holds unused for {cache.KEPT_DAYS} days", cache.unused, cache.prune),
    ]


if __name__ == "__main__":
    sys.exit(main())
