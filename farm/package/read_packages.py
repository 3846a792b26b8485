"""From package directories to packages: build.yml gives the name, git the hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import BuildYmlError, InputError, combine
from farm.model import Package, Reference
from farm.package.build_args import resolve_tags
from farm.package.build_yml import read_build_yml
from farm.package.git import top_of
from farm.package.git_facts import read_facts, trees_outside_git
from farm.package.submodules import find_submodules
from farm.package.tags import TagOptions, refuse_other_files, render_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.model import BuildYml
    from farm.package.git_facts import GitFacts


class PackageSource(NamedTuple):
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
    def places(self) -> tuple[tuple[Path, str], ...]:
        """The directories that are built, each with its place in the context: the package's own is ""."""
        extras = zip(self.extras, (extra.dst for extra in self.yml.extra_sources), strict=True)
        return ((self.path, ""), *extras)

    @property
    def covered(self) -> tuple[Path, ...]:
        """The directories in which an uncommitted change makes the package dirty."""
        return (self.hashed, *self.extras)


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


def read_packages(directories: Sequence[str], options: TagOptions, *, apart: bool = False) -> list[Package]:
    """The packages of these directories, in order; a directory that is named twice counts once.

    Two packages may make the same image only if they are looked at `apart`.

    Raises:
        BuildYmlError: a build.yml is missing or breaks a rule.
        GitError: a package or an extra source is not in git.
        InputError: two directories make one image, or a name or tag is invalid.
    """
    refuse_other_files(options)
    named: dict[Path, str] = {}
    for directory in directories:
        named.setdefault(Path(directory).resolve(), directory)
    sources = _read_sources(named, options)
    if not apart:
        _refuse_same_image(sources)
    return _packages(sources, options)


def resolve_build_args(packages: Sequence[Package], build_yml: str) -> list[Package]:
    """The packages to build, with build arguments that name packages resolved to their tags.

    `build_yml` is the path of their build.yml from their directories.

    Raises:
        InputError: an argument names no package, or one that cannot be read.
    """
    return [_with_resolved_args(package, packages, build_yml) for package in packages]


def _with_resolved_args(package: Package, submitted: Sequence[Package], build_yml: str) -> Package:
    """The package with tags in the build arguments that name directories of other packages.

    Relative directories start at that of the build.yml, which may be below the package's.
    Submitted packages have the tag that they are submitted with, others that of their own build.yml.
    """
    known = {Path(one.directory).resolve(): one for one in submitted}

    def find(directories: Sequence[Path]) -> list[Package]:
        others = {directory: str(directory) for directory in directories if directory not in known}
        options = TagOptions()
        read = {Path(one.directory): one for one in _packages(_read_sources(others, options), options)}
        return [(known | read)[directory] for directory in directories]

    here, args = (Path(package.directory).resolve() / build_yml).parent, package.yml.build_args
    resolved = tuple(one for text in args for one in resolve_tags(text, here, top_of(here), find))
    return package._replace(yml=package.yml._replace(build_args=resolved))


def _read_sources(directories: Mapping[Path, str], options: TagOptions) -> list[PackageSource]:
    """The sources of these directories: resolved path to the name that the user gave it."""
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
    yml = options.apply(read_build_yml(Path(directory), options.build_yml))
    hashed = Path(options.hash_path).resolve() if options.hash_path else path
    if not path.is_relative_to(hashed):
        raise InputError(
            f"{directory}: is not below --hash-path {options.hash_path}",
            hint="name a directory that contains the package",
        )
    extras = tuple((path / extra.src).resolve() for extra in yml.extra_sources)
    return PackageSource(directory, path, hashed, yml, extras)


def _refuse_same_image(sources: Iterable[PackageSource]) -> None:
    seen: dict[str, str] = {}
    for source in sources:
        image = f"{source.yml.org}/{source.yml.image}"
        first = seen.setdefault(image, source.directory)
        if first != source.directory:
            raise InputError(
                f"{first} and {source.directory} both make {image}", hint="give one of them another image"
            )


def _packages(sources: Sequence[PackageSource], options: TagOptions) -> list[Package]:
    facts = read_facts(sources, options)
    return [_package(source, facts.get(top_of(source.path)), options) for source in sources]


def _package(source: PackageSource, facts: GitFacts | None, options: TagOptions) -> Package:
    if facts is None:
        hash_ = options.fixed_hash or "latest"
        reference = _reference(source, hash_)
        trees = trees_outside_git(source) if options.fixed_hash else ()
        return Package(source.directory, source.yml, reference, hash_, str(source.path), None, False, trees)
    facts.refuse_outside_git(source, options)
    dirty = options.force_dirty or facts.is_dirty(source)
    if options.include_ignored and not dirty:
        facts = facts.with_all_files(source, options)
    trees = facts.trees_of(source, options)
    if not trees:  # it has a given hash, and no commit holds all of its content
        facts = facts.with_all_files(source, options)
        trees = () if dirty else facts.trees_of(source, options)
    hash_ = options.fixed_hash or facts.hash_of(source, trees, dirty=dirty, ignored=options.include_ignored)
    return Package(
        source.directory,
        source.yml,
        _reference(source, hash_),
        hash_,
        facts.repository.top,
        facts.repository.commit,
        dirty,
        trees,
        find_submodules(facts.repository, trees) if facts.repository.commit and not dirty else (),
    )


def _reference(source: PackageSource, hash_: str) -> Reference:
    try:
        return Reference.parse(f"{source.yml.org}/{source.yml.image}:{render_tag(source.yml.tag, hash_)}")
    except InputError as error:
        raise InputError(f"{source.directory}: {error.message}", hint=error.hint) from error
