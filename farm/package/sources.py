"""Package directories and their build.yml, before git is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import BuildYmlError, InputError, combine
from farm.package.build_yml import read_build_yml
from farm.package.tag_options import apply_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model import BuildYml
    from farm.package.tag_options import TagOptions


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A package directory and its build.yml, with options applied."""

    directory: str
    """As the user named it."""
    path: Path
    """Absolute, symbolic links resolved."""
    hashed: Path
    """The directory whose tree hash becomes the tag: `path`, or --hash-path."""
    yml: BuildYml
    extras: tuple[Path, ...]
    """The absolute paths of the extra sources."""

    @property
    def covered(self) -> tuple[Path, ...]:
        """The directories in which an uncommitted change makes the package dirty."""
        return (self.hashed, *self.extras)


def read_sources(directories: Mapping[Path, str], options: TagOptions) -> list[PackageSource]:
    """The sources of these directories: resolved path to the name that the user gave it.

    Raises:
        BuildYmlError: a build.yml is missing or breaks a rule; reports all that do.
        InputError: a package is not below --hash-path.
    """
    sources, errors = [], []
    for path, directory in directories.items():
        try:
            sources.append(_read_source(directory, path, options))
        except BuildYmlError as error:
            errors.append(error)
    if errors:
        raise combine(errors)
    return sources


def _read_source(directory: str, path: Path, options: TagOptions) -> PackageSource:
    yml = apply_options(read_build_yml(Path(directory) / options.build_yml), options)
    hashed = Path(options.hash_path).resolve() if options.hash_path else path
    if not path.is_relative_to(hashed):
        raise InputError(
            f"{directory}: is not below --hash-path {options.hash_path}",
            hint="name a directory that contains the package",
        )
    extras = tuple((path / extra.src).resolve() for extra in yml.extra_sources)
    return PackageSource(directory, path, hashed, yml, extras)


def refuse_same_image(sources: Iterable[PackageSource]) -> None:
    """Refuse two directories that make one image.

    Raises:
        InputError: two do.
    """
    seen: dict[str, str] = {}
    for source in sources:
        image = f"{source.yml.org}/{source.yml.image}"
        if image in seen:
            raise InputError(
                f"{seen[image]} and {source.directory} both make {image}",
                hint="give one of them another image",
            )
        seen[image] = source.directory
