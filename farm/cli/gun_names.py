"""The arguments of `farm trust init`: names with their registry, or package directories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.model import Reference
from farm.model.reference import is_host

if TYPE_CHECKING:
    from collections.abc import Sequence

_HINT = "a name is HOST/REPOSITORY, such as docker.io/linuxkit/foo; a package directory has a build.yml"


def guns_of(arguments: Sequence[str], org: str | None) -> list[str]:
    """The GUN of each argument: a name is one already, a package directory's is made from its build.yml.

    Raises:
        InputError: an argument is neither; a mistyped directory is never taken for a name.
    """
    from farm.package.read_packages import read_packages
    from farm.package.tags import TagOptions

    directories = [argument for argument in arguments if (Path(argument) / "build.yml").is_file()]
    names = {argument: _parse_gun(argument) for argument in arguments if argument not in directories}
    packages = read_packages(directories, TagOptions(org=org)) if directories else []
    by_path = {Path(package.directory).resolve(): package.reference.name for package in packages}
    guns = (names.get(argument) or by_path[Path(argument).resolve()] for argument in arguments)
    return list(dict.fromkeys(guns))


def _parse_gun(name: str) -> str:
    if Path(name).exists():
        raise InputError(f"{name}: not a package directory: it has no build.yml", hint=_HINT)
    try:
        gun = Reference.parse(name).name
    except InputError:
        gun = ""
    host, slash, _ = name.partition("/")
    if not (gun and slash and is_host(host)):
        raise InputError(f"{name}: neither a package directory nor a name with its registry", hint=_HINT)
    return gun
