"""Package directories become packages: build.yml says what they are, git what they hold."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.errors import BuildYmlError, GitError, InputError, combine
from farm.model import BuildYml, GitTree, Package, Reference
from farm.package.build_args import overridden, resolved
from farm.package.build_yml import read_build_yml
from farm.package.dirty_content import contents
from farm.package.git import Changes, Repository, open_repository, read_changes, read_trees, top_of
from farm.package.tags import combined_hash, dirty_hash, render_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class TagOptions:
    """What the maintainer says about packages; each field is a flag of `linuxkit pkg`.

    None leaves a field of build.yml as it is.
    """

    org: str | None = None
    hash: str | None = None
    """Taken as it is."""
    hash_commit: str = _HEAD
    hash_path: str | None = None
    """A directory that contains the packages, and whose tree hash is taken instead of theirs."""
    tag: str | None = None
    """The template that beats build.yml's."""
    dev: bool = False
    """Organisation `user`, tag dev; `org` and `hash` beat it."""
    user: str | None = None
    force_dirty: bool = False
    build_yml: str = "build.yml"
    dockerfile: str | None = None
    network: bool | None = None
    disable_cache: bool | None = None
    disable_content_trust: bool | None = None
    build_args: tuple[str, ...] = ()
    """NAME=VALUE each; they beat those of build.yml."""

    @property
    def other_commit(self) -> bool:
        """Whether content is taken from elsewhere than HEAD."""
        return self.hash_commit != _HEAD

    @property
    def fixed_hash(self) -> str | None:
        """The hash where git is not asked for one."""
        return self.hash or ("dev" if self.dev else None)


@dataclass(frozen=True, slots=True)
class _Source:
    """A package directory before git was asked: the extra sources' paths are absolute."""

    directory: str
    path: Path
    base: Path
    """The directory whose tree names the package: its own, or --hash-path."""
    yml: BuildYml
    extras: tuple[Path, ...]

    @property
    def covered(self) -> tuple[Path, ...]:
        """Every directory in which an uncommitted change makes the package dirty."""
        return (self.base, *self.extras)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What git says of one repository's packages."""

    repository: Repository
    trees: Mapping[str, str]
    changes: Changes


def read_packages(directories: Sequence[str], options: TagOptions, *, apart: bool = False) -> list[Package]:
    """The packages of these directories, in order; a directory that is named twice counts once.

    Args:
        directories: of the packages.
        options: what beats their build.yml.
        apart: whether each is looked at by itself; else no two of them may make one image.

    Raises:
        BuildYmlError: a build.yml is missing or breaks a rule.
        GitError: a package or an extra source is not in git.
        InputError: two directories make one image, or a name or tag is none.
    """
    named: dict[Path, str] = {}
    for directory in directories:
        named.setdefault(Path(directory).resolve(), directory)
    found = _sources(named, options)
    if not apart:
        _refuse_same_image(found)
    facts = _ask_git(found, options)
    packages = [_package(source, facts.get(top_of(source.path)), options) for source in found]
    return [_with_references(package, packages) for package in packages]


def _sources(directories: Mapping[Path, str], options: TagOptions) -> list[_Source]:
    """The sources of these directories, named as they were; what is wrong with any is told of all at once."""
    found, wrong = [], []
    for path, directory in directories.items():
        try:
            found.append(_source(directory, path, options))
        except BuildYmlError as error:
            wrong.append(error)
    if wrong:
        raise combine(wrong)
    return found


def _with_references(package: Package, submitted: Sequence[Package]) -> Package:
    """The package with the tags of others in the build arguments that name their directories."""
    args = package.yml.build_args
    there = Path(package.directory).resolve()
    known = {Path(one.directory).resolve(): one for one in submitted}

    def find(directories: Sequence[Path]) -> list[Package]:
        others = [str(directory) for directory in directories if directory not in known]
        read = {Path(one.directory).resolve(): one for one in _alone(others)}
        return [(known | read)[directory] for directory in directories]

    changed = resolved(args, there, find)
    return package if changed == args else replace(package, yml=replace(package.yml, build_args=changed))


def _alone(directories: Sequence[str]) -> list[Package]:
    """Packages as they are called by themselves: by build.yml and git alone."""
    found = [_source(directory, Path(directory).resolve(), TagOptions()) for directory in directories]
    facts = _ask_git(found, TagOptions())
    return [_package(source, facts.get(top_of(source.path)), TagOptions()) for source in found]


def _source(directory: str, path: Path, options: TagOptions) -> _Source:
    yml = read_build_yml(Path(directory) / options.build_yml)
    yml = _as_wished(yml, options)
    base = Path(options.hash_path).resolve() if options.hash_path else path
    if not path.is_relative_to(base):
        raise InputError(
            f"{directory}: is not below --hash-path {options.hash_path}",
            hint="name a directory that contains the package",
        )
    return _Source(
        directory, path, base, yml, tuple((path / extra.src).resolve() for extra in yml.extra_sources)
    )


def _as_wished(yml: BuildYml, options: TagOptions) -> BuildYml:
    """What build.yml says, but for what the maintainer says otherwise."""
    org = options.org or (options.user if options.dev else None)
    wished = {
        "org": org,
        "tag": options.tag,
        "dockerfile": options.dockerfile,
        "network": options.network,
        "disable_cache": options.disable_cache,
        "disable_content_trust": options.disable_content_trust,
    }
    if options.dockerfile:
        wished["dockerfile"] = _inside_package(options.dockerfile)
    given: dict[str, Any] = {
        name: value for name, value in wished.items() if value is not None and value != ""
    }
    return replace(yml, build_args=overridden(yml.build_args, options.build_args), **given)


def _inside_package(dockerfile: str) -> str:
    path = posixpath.normpath(dockerfile)
    if path.startswith(("/", "../")) or path in ("..", "."):
        raise InputError(f"--dockerfile {dockerfile}: must be a file in the package's directory or below")
    return path


def _refuse_same_image(sources: Iterable[_Source]) -> None:
    seen: dict[str, str] = {}
    for source in sources:
        image = f"{source.yml.org}/{source.yml.image}"
        if image in seen:
            raise InputError(
                f"{seen[image]} and {source.directory} both make {image}",
                hint="give one of them another image",
            )
        seen[image] = source.directory


def _ask_git(sources: Iterable[_Source], options: TagOptions) -> dict[Path | None, _Facts]:
    groups: dict[Path, list[_Source]] = {}
    for source in sources:
        top = top_of(source.path)
        if top:
            groups.setdefault(top, []).append(source)
    return {top: _facts(top, group, options) for top, group in groups.items()}


def _facts(top: Path, sources: Sequence[_Source], options: TagOptions) -> _Facts:
    repository = open_repository(top, options.hash_commit)
    covered = [_inside(repository, source, path) for source in sources for path in source.covered]
    own = [_inside(repository, source, source.path) for source in sources]
    trees = read_trees(repository, (*own, *covered))
    # What another commit holds has no uncommitted changes.
    changes = Changes() if options.other_commit else read_changes(repository, covered)
    return _Facts(repository, trees, changes)


def _inside(repository: Repository, source: _Source, path: Path) -> str:
    relative = repository.relative(path)
    if relative is None:
        raise GitError(f"{source.directory}: {path} is outside its repository {repository.top}")
    return relative


def _package(source: _Source, facts: _Facts | None, options: TagOptions) -> Package:
    if facts is None:
        return _outside_git(source, options)
    trees = _trees(source, facts, options)
    dirty = options.force_dirty or any(
        facts.changes.under(_inside(facts.repository, source, path)) for path in source.covered
    )
    hash_ = options.fixed_hash or _hash(source, facts, trees, dirty=dirty)
    # A package that is not committed as a whole has no commit to build from, whatever it is called.
    commit = facts.repository.commit if trees else None
    return Package(
        source.directory,
        source.yml,
        _reference(source, hash_),
        hash_,
        facts.repository.top,
        commit,
        dirty,
        trees,
    )


def _outside_git(source: _Source, options: TagOptions) -> Package:
    hash_ = options.fixed_hash or "latest"
    reference = _reference(source, hash_)
    return Package(source.directory, source.yml, reference, hash_, str(source.path), None, False, ())


def _trees(source: _Source, facts: _Facts, options: TagOptions) -> tuple[GitTree, ...]:
    places = ("", *(extra.dst for extra in source.yml.extra_sources))
    trees = []
    for path, dst in zip((source.path, *source.extras), places, strict=True):
        relative = _inside(facts.repository, source, path)
        if relative not in facts.trees:
            if options.fixed_hash:
                return ()
            raise _not_in_git(source, facts, f"{relative or path} " if dst else "", options)
        trees.append(GitTree(relative, facts.trees[relative], dst))
    return tuple(trees)


def _not_in_git(source: _Source, facts: _Facts, extra: str, options: TagOptions) -> GitError:
    if facts.repository.commit is None:
        return GitError(
            f"{source.directory}: its repository has no commits yet", hint="git add and git commit it"
        )
    at = f" at {options.hash_commit}" if options.other_commit else ""
    what = f"the extra source {extra}is" if extra else "is"
    return GitError(
        f"{source.directory}: {what} not in git{at}", hint="git add and git commit it; a tag is made from git"
    )


def _hash(source: _Source, facts: _Facts, trees: Sequence[GitTree], *, dirty: bool) -> str:
    base = _inside(facts.repository, source, source.base)
    clean = combined_hash([facts.trees[base], *(tree.tree for tree in trees[1:])])
    if not dirty:
        return clean
    # A clean extra source adds nothing, as with LinuxKit; a changed one has to show.
    changed = [tree.path for tree in trees[1:] if facts.changes.under(tree.path)]
    pieces = (piece for path in (base, *changed) for piece in contents(facts.repository, path, facts.changes))
    return dirty_hash(clean, pieces)


def _reference(source: _Source, hash_: str) -> Reference:
    try:
        return Reference.parse(f"{source.yml.org}/{source.yml.image}:{render_tag(source.yml.tag, hash_)}")
    except InputError as error:
        raise InputError(f"{source.directory}: {error.message}", hint=error.hint) from error
