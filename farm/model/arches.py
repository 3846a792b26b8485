"""The architectures of LinuxKit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNAME: dict[str, str] = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
}
"""Name in LinuxKit, which is that of an OCI platform, to what `uname -m` prints."""
ARCHES: tuple[str, ...] = tuple(UNAME)


def arch_of_uname(machine: str) -> str:
    """The LinuxKit name of what `uname -m` prints; unchanged if LinuxKit has none."""
    return next((arch for arch, name in UNAME.items() if name == machine), machine)


def refuse_unknown_arches(arches: Iterable[str]) -> None:
    """Raise an InputError if one of these is no architecture of LinuxKit."""
    for arch in arches:
        if arch not in ARCHES:
            raise InputError(f"unknown architecture {arch!r}", hint=f"one of {', '.join(ARCHES)}")
