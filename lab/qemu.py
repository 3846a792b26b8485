"""QEMU, registered with the kernel for the architectures that this machine has to emulate."""

from __future__ import annotations

import platform
from pathlib import Path

from lab.machine import ARCHES, SetupError, run

_RULES = Path("/usr/lib/binfmt.d")
_FORMATS = Path("/var/lib/binfmts")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def foreign() -> list[str]:
    """The architectures that this machine has to emulate."""
    return [arch for arch, machine in ARCHES.items() if machine != platform.machine()]


def unregistered() -> list[str]:
    """Foreign architectures whose programs the kernel does not hand to QEMU yet."""
    return [arch for arch in foreign() if not _registered(ARCHES[arch])]


def _registered(machine: str) -> bool:
    """Whether there is a handler, and the kernel keeps it open (flag F), so that containers need no copy."""
    handler = _BINFMT / f"qemu-{machine}"
    lines = handler.read_text().splitlines() if handler.is_file() else []
    return "enabled" in lines and any(line.startswith("flags:") and "F" in line[6:] for line in lines)


def register() -> None:
    """Mount binfmt_misc if it is not mounted, and register QEMU as Debian does at boot.

    Debian 12 does it with update-binfmts, Debian 13 with files for systemd-binfmt, which may not run here. No
    other emulator is registered, because each build starts every registered one several times.
    """
    if not (_BINFMT / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], root=True)
    for name in (f"qemu-{ARCHES[arch]}" for arch in unregistered()):
        if (_FORMATS / name).exists():
            run(["update-binfmts", "--enable", name], root=True)
    for arch in unregistered():
        rule = _RULES / f"qemu-{ARCHES[arch]}.conf"
        if rule.exists():
            run(["sh", "-c", f"grep '^:' {rule} > {_BINFMT / 'register'}"], root=True)
    if left := unregistered():
        raise SetupError(f"the kernel still does not run programs for {', '.join(left)}")
