"""A lab's directory; that of a killed lab is removed when the next one starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.system.locks import is_locked, locked
from lab.process import descendants

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "farm-lab-"
_LOCK = "lock"
BRIDGES = ("lab", "ovl", "ctd")
"""The part of a bridge's name that distinguishes the engines of a lab."""
_DEVICES = "/sys/class/net"
_LONGEST = 40
"""Characters of the parent directory, so that the paths of sockets stay within the kernel's limit of 107."""


@contextmanager
def own_directory() -> Iterator[Path]:
    """A new directory with a short path, as it contains sockets; removed at the end.

    What killed labs left behind is removed first: their directories, mounts, processes and bridges.
    """
    with ExitStack() as stack:
        with one_at_a_time() as parent:
            for left in parent.glob(f"{_PREFIX}*"):
                if _is_dead(left):
                    remove(left)
            home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            stack.enter_context(locked(home / _LOCK))
        stack.callback(remove, home)
        yield home


@contextmanager
def one_at_a_time() -> Iterator[Path]:
    """Lock what all labs of this user share; yields the parent of their directories."""
    usual = tempfile.gettempdir()
    parent = Path(usual if len(usual) <= _LONGEST else "/tmp")  # noqa: S108 - mkdtemp creates the directories in it
    with locked(parent / f".{_PREFIX}{os.geteuid()}"):
        yield parent


def bridge_of(home: Path, kind: str = BRIDGES[0]) -> str:
    """The name of the network bridge of a lab's engine, within the kernel's limit of 15 characters."""
    return f"farm{kind}{home.name.removeprefix(_PREFIX)}"


def remove(home: Path) -> None:
    """Remove a lab's directory and what killed engines left behind: processes, mounts, bridges."""
    inside = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(home) and int(process.name) != os.getpid():
                inside.append(int(process.name))
    # Also what runs in containers, whose working directories are elsewhere.
    for pid in descendants(*inside):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([name for name in mounts if Path(name).is_relative_to(home)]):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True, timeout=30)
    for bridge in _bridges(home):
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True, timeout=30)
    shutil.rmtree(home, ignore_errors=True)


def networks_of(address: str) -> str:
    """The prefix of all addresses in the networks that an engine creates, by the address of its bridge."""
    return f"10.215.{address.split('.')[2]}."


def _bridges(home: Path) -> list[str]:
    """A lab's bridges and those of the networks that its engines created, which outlive the engines."""
    own = [name for name in (bridge_of(home, kind) for kind in BRIDGES) if Path(_DEVICES, name).exists()]
    listed = subprocess.run(
        ["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=False, timeout=30
    )
    addresses = {words[3]: words[1] for words in map(str.split, listed.stdout.splitlines())}
    starts = tuple(networks_of(address) for address, name in addresses.items() if name in own)
    made = [name for address, name in addresses.items() if starts and address.startswith(starts)]
    return [*made, *own]


def _is_dead(home: Path) -> bool:
    """Whether the lab of a directory has ended: a running one holds its lock."""
    return home.is_dir() and home.stat().st_uid == os.geteuid() and not is_locked(home / _LOCK)
