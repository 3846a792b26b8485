"""Build arguments, NAME=VALUE, from build.yml and from files; a value may refer to another package.

The forms of values are linuxkit's: https://github.com/linuxkit/linuxkit/blob/v1.8.2/docs/packages.md
"""

from __future__ import annotations

import glob
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.model import Package

_MARK = "@lkt:"
_ONE, _MANY = "@lkt:pkg:", "@lkt:pkgs:"
_LONGEST = 1 << 20
"""Bytes of a file of arguments."""
_DEEPEST, _MOST_DIRECTORIES = 50, 20_000
"""Parts of a pattern, and directories that are looked through for it."""
_STEM = "%"
"""The part of an argument's name that is replaced by the name of the package."""


def override(args: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The arguments whose names are not among the others, then the others."""
    names = {text.partition("=")[0] for text in others}
    return (*(text for text in args if text.partition("=")[0] not in names), *others)


def names_absolute(text: str) -> bool:
    """Whether an argument names directories by an absolute path."""
    value = text.partition("=")[2]
    return any(value.startswith(f"{kind}/") for kind in (_ONE, _MANY))


def read_file(path: Path) -> tuple[str, ...]:
    """The arguments in a file, one a line, without blank and # lines; directories are relative to its own."""
    try:
        with path.open("rb") as file:  # which may be a pipe of the user's shell
            lines = file.read(_LONGEST).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error
    return tuple(
        _anchored(line.strip(), path.absolute().parent, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )


def _anchored(text: str, directory: Path, where: str) -> str:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"{where}: {text!r} is not NAME=VALUE")
    for kind in (_ONE, _MANY):
        if value.startswith(kind):
            return f"{name}={kind}{directory / value.removeprefix(kind)}"
    return text


class NamedPackages(NamedTuple):
    """An argument whose value refers to the packages in these directories."""

    name: str
    directories: tuple[Path, ...]
    """Absolute, symbolic links resolved."""
    many: bool
    """Whether it becomes an argument for each package, each with a name of its own."""

    def resolve(self, packages: Mapping[Path, Package]) -> Iterator[str]:
        """The arguments with the tags of the packages, such as LINUXKIT_FOO_TAG; `packages` by directory."""
        for package in (packages[directory] for directory in self.directories):
            stem = package.image.replace("/", "_").replace("-", "_").upper()
            name = self.name.replace(_STEM, stem) if self.many else self.name
            yield f"{name}={package.tagged}"


def find_packages(text: str, directory: Path, top: Path | None) -> NamedPackages | None:
    """The packages that an argument refers to; None for an argument that refers to none.

    `A=@lkt:pkg:../foo` refers to the package there, and `%_TAG=@lkt:pkgs:../*` to each that the pattern
    matches. Relative directories start at `directory`, and are below `top`.

    Raises:
        InputError: a directory is outside of `top`, or the argument is malformed.
    """
    name, _, value = text.partition("=")
    within = None if names_absolute(text) else top  # the file of arguments is the user's to name
    if value.startswith(_ONE):
        one = _inside((directory / value.removeprefix(_ONE)).resolve(), within)
        return NamedPackages(name, (one,), many=False)
    if value.startswith(_MANY):
        pattern = directory / value.removeprefix(_MANY)
        return NamedPackages(name, _matching(name, pattern, within), many=True)
    if value.startswith(_MARK):
        raise InputError(
            f"build argument {text!r}: unknown value {value}", hint=f"{_ONE}DIR or {_MANY}PATTERN"
        )
    return None


def _inside(path: Path, top: Path | None) -> Path:
    if top and not path.is_relative_to(top):
        raise InputError(f"build arguments: {path} is outside of the repository {top}")
    return path


def _matching(name: str, pattern: Path, top: Path | None) -> tuple[Path, ...]:
    if _STEM not in name:
        raise InputError(f"build argument {name}: must contain {_STEM}, for the names of the packages")
    found = _matches(pattern, top)
    if not found:
        raise InputError(f"build argument {name}: no package found at {pattern}")
    return tuple(found)


def _matches(pattern: Path, top: Path | None) -> list[Path]:
    """The directories, links resolved, that a pattern matches; none is looked through outside of `top`.

    Each is looked at once for each part, so that links in circles make no more work.
    """
    level, left = {Path(pattern.anchor)}, _MOST_DIRECTORIES
    for part in pattern.parts[1:]:
        if not glob.has_magic(part):
            level = {found for path in level if (found := (path / part).resolve()).is_dir()}
            continue
        left -= len(level)
        if left < 0 or len(pattern.parts) > _DEEPEST + (len(top.parts) if top else 0):
            raise InputError(f"build arguments: {pattern} has too many parts, or matches too much")
        level = {
            found
            for path in level
            for name in os.listdir(_inside(path, top))  # noqa: PTH208 - only names are needed
            if fnmatch(name, part)
            and not name.startswith(".")
            and (found := (path / name).resolve()).is_dir()
        }
    return sorted(_inside(path, top) for path in level)
