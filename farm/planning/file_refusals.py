"""What is wrong with the files of packages that are to be built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.package.check_files import check_files
from farm.package.context_entries import context_entries, list_contents
from farm.package.git import Repository, repository_of
from farm.package.tags import require_submodules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.model import Package
    from farm.package.context_entries import Listing


def refused_files(
    packages: Sequence[Package], dockerfiles: Mapping[str, str]
) -> tuple[tuple[str, ...], list[FarmError]]:
    """Warnings about files of these packages, and why some cannot be built."""
    listings = list_contents(packages)
    warnings: tuple[str, ...] = ()
    refusals: list[FarmError] = []
    try:
        warnings = check_files(packages, dockerfiles, listings)
    except FarmError as error:
        refusals.append(error)
    return warnings, [*refusals, *_contexts(packages, listings)]


def _contexts(packages: Iterable[Package], listings: Mapping[Repository, Listing]) -> Iterator[FarmError]:
    for package in packages:
        try:
            if package.commit:
                _check_context(package, listings)
        except FarmError as error:
            yield error


def _check_context(package: Package, listings: Mapping[Repository, Listing]) -> None:
    require_submodules(package)
    context_entries(package, listings)
    if any(listings[repository_of(package, tree)].shallow for tree in package.trees):
        from farm.package.git_objects import last_change  # noqa: PLC0415 - it imports GitPython: 70 ms

        last_change(package)
