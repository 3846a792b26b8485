"""The architectures, as LinuxKit, an OCI platform and the kernel spell them."""

from __future__ import annotations

# The architectures that LinuxKit names, and how an OCI platform and the kernel (uname -m) spell each.
UNAME: dict[str, str] = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
}
ARCHES: tuple[str, ...] = tuple(UNAME)


def arch_of_uname(machine: str) -> str:
    """The LinuxKit name of what `uname -m` prints; the input itself where it has no other."""
    return next((arch for arch, name in UNAME.items() if name == machine), machine)
