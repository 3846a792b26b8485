"""Build arguments, NAME=VALUE, from build.yml and from files; a value may refer to another package.

The forms of values are linuxkit's: https://github.com/linuxkit/linuxkit/blob/v1.8.2/docs/packages.md
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from farm.model import Package

    Find = Callable[[Sequence[Path]], list[Package]]

_MARK = "@lkt:"
_ONE, _MANY = "@lkt:pkg:", "@lkt:pkgs:"
_STEM = "%"
"""The part of an argument's name that is replaced by the name of the package."""


def override(args: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The arguments whose names are not among the others, then the others."""
    names = {text.partition("=")[0] for text in others}
    return (*(text for text in args if text.partition("=")[0] not in names), *others)


def read_file(path: Path) -> tuple[str, ...]:
    """The arguments in a file, one a line, without blank and # lines; directories are relative to its own."""
    try:
        lines = path.read_text("utf-8").splitlines()
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


def resolve_tags(text: str, directory: Path, find: Find) -> Iterator[str]:
    """An argument, with package directories replaced by the tags of the packages.

    `A=@lkt:pkg:../foo` gets the tag of the package there; `%_TAG=@lkt:pkgs:../*` becomes one argument for
    each package, such as LINUXKIT_FOO_TAG. Relative directories start at `directory`.
    """
    name, _, value = text.partition("=")
    if value.startswith(_ONE):
        (package,) = find([(directory / value.removeprefix(_ONE)).resolve()])
        yield f"{name}={package.tagged}"
    elif value.startswith(_MANY):
        yield from _resolve_pattern(name, str(directory / value.removeprefix(_MANY)), find)
    elif value.startswith(_MARK):
        raise InputError(
            f"build argument {text!r}: unknown value {value}", hint=f"{_ONE}DIR or {_MANY}PATTERN"
        )
    else:
        yield text


def _resolve_pattern(name: str, pattern: str, find: Find) -> Iterator[str]:
    if _STEM not in name:
        raise InputError(f"build argument {name}: must contain {_STEM}, for the names of the packages")
    matches = [Path(match) for match in sorted(glob.glob(pattern))]  # noqa: PTH207 - the pattern may be absolute
    packages = find([path.resolve() for path in matches if path.is_dir() and not path.name.startswith(".")])
    if not packages:
        raise InputError(f"build argument {name}: no package found at {pattern}")
    for package in packages:
        stem = package.image.replace("/", "_").replace("-", "_").upper()
        yield f"{name.replace(_STEM, stem)}={package.tagged}"
