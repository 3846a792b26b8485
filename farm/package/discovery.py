"""Finding package directories below other directories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def directories_below(directories: Iterable[str], build_yml: str) -> list[str]:
    """The directories, at or below these, that contain a build.yml.

    Raises:
        InputError: there is none, or `build_yml` is not a path below a package directory.
    """
    name = Path(build_yml)
    if not name.parts or name.is_absolute() or ".." in name.parts:
        raise InputError(
            f"--build-yml {build_yml}: must be a path below the package directory", hint="leave out --all"
        )
    found: list[str] = []
    for directory in directories:
        hits = sorted(Path(directory).rglob(build_yml))
        found += [str(hit.parents[len(name.parts) - 1]) for hit in hits if ".git" not in hit.parts]
    if not found:
        raise InputError(
            f"{', '.join(directories)}: no package found below", hint=f"a package has a {build_yml}"
        )
    return found
