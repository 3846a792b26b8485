"""From package directories to packages: build.yml gives the name, git the hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import InputError, combine
from farm.model import Package, Reference
from farm.package.build_args import NamedPackages, find_packages
from farm.package.git import top_of
from farm.package.git_facts import FactReader, trees_outside_git
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
    top: Path | None
    """The top of its repository; None outside git."""

    @property
    def places(self) -> tuple[tuple[Path, str], ...]:
        """The directories that are built, each with its place in the context: the package's own is ""."""
        extras = zip(self.extras, (extra.dst for extra in self.yml.extra_sources), strict=True)
        return ((self.path, ""), *extras)

    @property
    def covered(self) -> tuple[Path, ...]:
        """The directories in which an uncommitted change makes the package dirty."""
        return (self.hashed, *self.extras)


def is_hidden(path: Path, top: str) -> bool:
    """Whether a part of the path below `top` begins with a full stop, as .git and .github do."""
    return any(part.startswith(".") for part in path.relative_to(top).parts)


def directories_below(directories: Iterable[str], build_yml: str) -> list[str]:
    """The directories, at or below these, that contain a build.yml; without hidden ones.

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
        hits = (hit for hit in sorted(Path(directory).rglob(build_yml)) if not is_hidden(hit, directory))
        found += [str(hit.parents[len(name.parts) - 1]) for hit in hits]
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
    named = _by_path(directories)
    with FactReader.started(named, options) as facts:
        sources, errors = _read_sources(named, options)
        if errors:
            raise combine(errors)
        if not apart:
            _refuse_same_image(sources)
        packages, errors = _packages(sources, facts, options)
    if errors:
        raise combine(errors)
    return packages


def read_tree(directories: Sequence[str], options: TagOptions) -> tuple[list[Package], list[InputError]]:
    """The packages of these directories that can be read, and the errors of the others; for whole trees.

    Raises:
        GitError: git cannot read a repository.
    """
    named = _by_path(directories)
    with FactReader.started(named, options) as facts:
        sources, unreadable = _read_sources(named, options)
        packages, untagged = _packages(sources, facts, options)
    return packages, [*unreadable, *untagged]


def read_sources(ymls: Mapping[str, BuildYml], options: TagOptions) -> tuple[list[Package], list[InputError]]:
    """The same for directories that have no build.yml, by what it would say."""
    sources = []
    for directory, yml in ymls.items():
        path = Path(directory).resolve()
        sources.append(PackageSource(directory, path, path, yml, (), top_of(path)))
    with FactReader.started((source.path for source in sources), options) as facts:
        return _packages(sources, facts, options)


def resolve_build_args(packages: Sequence[Package], build_yml: str) -> list[Package]:
    """The packages to build, with build arguments that name packages resolved to their tags.

    Submitted packages have the tag that they are submitted with, others that of their own build.yml.
    `build_yml` is the path of their build.yml from their directories: there relative directories start.

    Raises:
        InputError: an argument names no package, or one that cannot be read.
    """
    resolved, errors = resolve_args_of_tree(packages, build_yml)
    if errors:
        raise combine(errors)
    return resolved


def resolve_args_of_tree(
    packages: Sequence[Package], build_yml: str
) -> tuple[list[Package], list[InputError]]:
    """The same for whole trees: packages whose arguments cannot be resolved keep them, with an error each."""
    named: dict[str, list[NamedPackages | None]] = {}
    errors: list[InputError] = []
    for package in packages:
        try:
            named[package.directory] = _named_packages(package, build_yml) if package.yml.build_args else []
        except InputError as error:
            errors.append(error)
    wanted = {path for each in named.values() for one in each if one for path in one.directories}
    if not wanted:
        return list(packages), errors
    known = {Path(package.directory).resolve(): package for package in packages}
    others, unreadable = read_tree(sorted(str(path) for path in wanted - known.keys()), TagOptions())
    known |= {Path(package.directory): package for package in others}
    resolved = [_with_args(package, named.get(package.directory, ()), known) for package in packages]
    return resolved, [*errors, *unreadable]


def _named_packages(package: Package, build_yml: str) -> list[NamedPackages | None]:
    here = (Path(package.directory).resolve() / build_yml).parent
    top = top_of(here)
    return [find_packages(text, here, top) for text in package.yml.build_args]


def _with_args(
    package: Package, named: Sequence[NamedPackages | None], known: Mapping[Path, Package]
) -> Package:
    """The package with tags in its arguments; the same if one of the packages that they name is not known."""
    paths = {path for one in named if one for path in one.directories}
    if not paths or paths - known.keys():
        return package
    pairs = zip(package.yml.build_args, named, strict=True)
    args = (one for text, packages in pairs for one in (packages.resolve(known) if packages else (text,)))
    return package._replace(yml=package.yml._replace(build_args=tuple(args)))


def _by_path(directories: Iterable[str]) -> dict[Path, str]:
    """Resolved path to the name that the user gave it; the first of several."""
    named: dict[Path, str] = {}
    for directory in directories:
        named.setdefault(Path(directory).resolve(), directory)
    return named


def _read_sources(
    directories: Mapping[Path, str], options: TagOptions
) -> tuple[list[PackageSource], list[InputError]]:
    """The sources of these directories, and the errors of those that cannot be read."""
    sources: list[PackageSource] = []
    errors: list[InputError] = []
    for path, directory in directories.items():
        try:
            sources.append(_read_source(directory, path, options))
        except InputError as error:
            errors.append(error)
    return sources, errors


def _read_source(directory: str, path: Path, options: TagOptions) -> PackageSource:
    from farm.package.build_yml import read_build_yml  # noqa: PLC0415 - git answers while YAML is imported

    top = top_of(path)
    yml = options.apply(read_build_yml(Path(directory), options.build_yml, within=top or path))
    hashed = Path(options.hash_path).resolve() if options.hash_path else path
    if not path.is_relative_to(hashed):
        raise InputError(
            f"{directory}: is not below --hash-path {options.hash_path}",
            hint="name a directory that contains the package",
        )
    extras = tuple((path / extra.src).resolve() for extra in yml.extra_sources)
    return PackageSource(directory, path, hashed, yml, extras, top)


def _refuse_same_image(sources: Iterable[PackageSource]) -> None:
    seen: dict[str, str] = {}
    for source in sources:
        image = f"{source.yml.org}/{source.yml.image}"
        first = seen.setdefault(image, source.directory)
        if first != source.directory:
            raise InputError(
                f"{first} and {source.directory} both make {image}", hint="give one of them another image"
            )


def _packages(
    sources: Sequence[PackageSource], reader: FactReader, options: TagOptions
) -> tuple[list[Package], list[InputError]]:
    """The packages, and the errors of those whose tag cannot be made."""
    facts = reader.read(sources)
    packages: list[Package] = []
    errors: list[InputError] = []
    for source in sources:
        try:
            packages.append(_package(source, facts.get(source.top), options))
        except InputError as error:
            errors.append(error)
    return packages, errors


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
