"""The administrator's root and targets keys, in the directory where docker and notary keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustDeniedError
from farm.system.files import make_private, write_once

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

_HEADER = re.compile(r"^(role|gun): (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A private key in a trust directory: its id, role, GUN (None for root), and file."""

    id: str
    role: str
    gun: str | None
    path: Path


def stored_keys(trust_dir: Path) -> list[StoredKey]:
    """The private keys of a trust directory (private/ID.key, with PEM headers), ordered by id."""
    keys = []
    for path in sorted((trust_dir / "private").glob("*.key")):
        headers = dict(_HEADER.findall(path.read_text("utf-8")))
        keys.append(StoredKey(path.stem, headers.get("role", ""), headers.get("gun"), path))
    return keys


def root_keys(trust_dir: Path) -> tuple[str, ...]:
    """The ids of the root keys of a trust directory."""
    return tuple(key.id for key in stored_keys(trust_dir) if key.role == "root")


def copy_keys_for(gun: str, roots: Container[str], trust_dir: Path, work: Path) -> None:
    """Copy what a step needs into another trust directory: the GUN's keys, and these root keys."""
    private = private_directory_of(work)
    for key in stored_keys(trust_dir):
        if key.gun == gun or key.id in roots:
            write_once(private / key.path.name, key.path.read_text("utf-8"))


def save_new_keys(work: Path, trust_dir: Path) -> None:
    """Save the targets key that a step made, without overwriting any.

    The snapshot key is not saved: the server's own replaces it before the GUN is published.
    """
    for key in stored_keys(work):
        if key.role == "targets":
            write_once(private_directory_of(trust_dir) / key.path.name, key.path.read_text("utf-8"))


def private_directory_of(trust_dir: Path) -> Path:
    """The directory of the private keys, created if missing."""
    private = trust_dir / "private"
    try:
        make_private(private)
    except OSError as error:
        raise TrustDeniedError(f"{private}: cannot be created: {error.strerror}") from error
    return private
