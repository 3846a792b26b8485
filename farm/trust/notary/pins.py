"""Which root key may certify the signatures of a name: the pins, in a file of this machine.

Notary trusts whatever root key a server shows first. The farm keeps nothing between two readings that could
remember it, so every reading would be the first: only the pins tell the administrator's key from another's.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import BuildYmlError, InputError, SettingsError
from farm.system.files import make_private, put_in_place
from farm.system.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from farm.syntax.yaml_fields import Field

_ID = re.compile(r"[0-9a-f]{64}")
_ANY = "/*"
_HEADER = "# The root keys that may certify signatures, by name; /* ends a prefix. Written by `farm trust`.\n"


class Pins(NamedTuple):
    """The ids of the pinned root keys, by name; a name that ends in /* is a prefix."""

    roots: Mapping[str, tuple[str, ...]]

    def ids(self, gun: str) -> tuple[str, ...]:
        """The ids for a GUN: its own, else those of its longest prefix; none if it has no pin."""
        parts = gun.split("/")
        prefixes = ("/".join(parts[:length]) + _ANY for length in range(len(parts) - 1, 0, -1))
        return next((self.roots[name] for name in (gun, *prefixes) if name in self.roots), ())


def read_pins(file: Path) -> Pins:
    """The pins in a file; none if it does not exist. A change of the file is noticed."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return Pins({})
    except OSError as error:
        raise SettingsError(f"{file}: the pins cannot be read: {error.strerror}") from error
    return _read(file, (found.st_ino, found.st_mtime_ns, found.st_size))


@lru_cache(8)
def _read(file: Path, _: tuple[int, int, int]) -> Pins:
    from farm.syntax.yaml_fields import load  # noqa: PLC0415 - without signing, commands start faster without YAML

    try:
        return Pins(parse_roots(load(str(file), file.read_bytes()).fields({"roots"})["roots"]))
    except OSError as error:
        raise SettingsError(f"{file}: the pins cannot be read: {error.strerror}") from error
    except BuildYmlError as error:
        raise SettingsError(error.message, hint=error.hint) from error


def parse_roots(field: Field) -> dict[str, tuple[str, ...]]:
    """The section `roots` of a file: names, each with the ids of its root keys."""
    return {name: tuple(map(_id, ids.items())) for name, ids in field.entries().items()}


def _id(field: Field) -> str:
    text = field.text()
    if not is_root_id(text):
        raise field.wrong("must be the id of a root key: 64 hexadecimal digits")
    return text


def is_root_id(text: str) -> bool:
    """Whether a text has the form of a key's id."""
    return _ID.fullmatch(text) is not None


def prefix_of(gun: str) -> str:
    """The prefix of all names beside a GUN: one administrator's root key certifies all of them."""
    return gun.rpartition("/")[0] + _ANY


def pin(file: Path, name: str, ids: Iterable[str]) -> None:
    """Pin root keys for a name or prefix, in place of what was pinned for exactly that."""
    try:
        make_private(file.parent)
        with locked(file.with_name(f".{file.name}.lock")):
            roots = {**read_pins(file).roots, name: tuple(ids)}
            new = file.with_name(f".new-{file.name}")
            new.write_text(to_text(roots), "utf-8")
            put_in_place(new, file)
    except OSError as error:
        raise InputError(
            f"{file}: the pin cannot be written there: {error.strerror}",
            hint="set trust-pins to another file",
        ) from error


def to_text(roots: Mapping[str, Iterable[str]]) -> str:
    """The file with these pins."""
    # JSON's strings and lists are YAML's.
    lines = (f"  {json.dumps(name)}: {json.dumps(list(ids))}\n" for name, ids in sorted(roots.items()))
    return f"{_HEADER}roots:\n{''.join(lines)}"
