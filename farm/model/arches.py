"""The architectures by their names in LinuxKit and in the kernel."""

from __future__ import annotations

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
