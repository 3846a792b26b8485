"""Build arguments, NAME=VALUE, from build.yml and from files; a value may refer to another package.

The forms of values are linuxkit's: https://github.com/linuxkit/linuxkit/blob/v1.8.2/docs/packages.md
"""

from __future__ import annotations

import glob
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from farm.model import Package

    Find = Callable[[Sequence[Path]], list[Package]]

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


def resolve_tags(text: str, directory: Path, top: Path | None, find: Find) -> Iterator[str]:
    """An argument, with package directories replaced by the tags of the packages.

    `A=@lkt:pkg:../foo` gets the tag of the package there; `%_TAG=@lkt:pkgs:../*` becomes one argument for
    each package, such as LINUXKIT_FOO_TAG. Relative directories start at `directory`, and are below `top`.
    """
    name, _, value = text.partition("=")
    within = None if names_absolute(text) else top  # the file of arguments is the user's to name
    if value.startswith(_ONE):
        (package,) = find([_inside((directory / value.removeprefix(_ONE)).resolve(), within)])
        yield f"{name}={package.tagged}"
    elif value.startswith(_MANY):
        yield from _resolve_pattern(name, directory / value.removeprefix(_MANY), within, find)
    elif value.startswith(_MARK):
        raise InputError(
            f"build argument {text!r}: unknown value {value}", hint=f"{_ONE}DIR or {_MANY}PATTERN"
        )
    else:
        yield text


def _inside(path: Path, top: Path | None) -> Path:
    if top and not path.is_relative_to(top):
        raise InputError(f"build arguments: {path} is outside of the repository {top}")
    return path


def _resolve_pattern(name: str, pattern: Path, top: Path | None, find: Find) -> Iterator[str]:
    if _STEM not in name:
        raise InputError(f"build argument {name}: must contain {_STEM}, for the names of the packages")
    packages = find(_matches(pattern, top))
    if not packages:
        raise InputError(f"build argument {name}: no package found at {pattern}")
    for package in packages:
        stem = package.image.replace("/", "_").replace("-", "_").upper()
        yield f"{name.replace(_STEM, stem)}={package.tagged}"


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
