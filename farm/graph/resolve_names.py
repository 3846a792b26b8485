"""Packages as people name them: by name or by directory."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model import Package


def resolve_names(names: Iterable[str], packages: Mapping[str, Package]) -> list[str]:
    """The names of packages that are given as ORG/IMAGE, as IMAGE where that is unique, or as a directory.

    Raises:
        InputError: there is no such package.
    """
    by_place = {Path(package.directory).resolve(): name for name, package in packages.items()}
    return [_resolve(name, packages, by_place) for name in names]


def _resolve(given: str, packages: Mapping[str, Package], by_place: Mapping[Path, str]) -> str:
    if given in packages:
        return given
    if place := by_place.get(Path(given).resolve()):
        return place
    short = [name for name in packages if name.rpartition("/")[2] == given]
    if len(short) == 1:
        return short[0]
    if short:
        raise InputError(f"{given}: may be {' or '.join(short)}", hint="write the whole name")
    near = get_close_matches(given, [*packages, *(name.rpartition("/")[2] for name in packages)], n=1)
    raise InputError(
        f"{given}: no such package in the tree",
        hint=f"did you mean {near[0]}?" if near else "farm graph PATH lists them",
    )
