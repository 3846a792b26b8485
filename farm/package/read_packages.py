"""From package directories to packages: build.yml gives the name, git the hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.model import Package, Reference
from farm.package.build_args import resolve_tags
from farm.package.git import top_of
from farm.package.git_facts import read_facts
from farm.package.sources import read_sources, refuse_same_image
from farm.package.tag_options import TagOptions
from farm.package.tags import render_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.package.git_facts import GitFacts
    from farm.package.sources import PackageSource


def read_packages(directories: Sequence[str], options: TagOptions, *, apart: bool = False) -> list[Package]:
    """The packages of these directories, in order; a directory that is named twice counts once.

    Args:
        directories: of the packages.
        options: what overrides their build.yml.
        apart: whether two packages may make the same image.

    Raises:
        BuildYmlError: a build.yml is missing or breaks a rule.
        GitError: a package or an extra source is not in git.
        InputError: two directories make one image, or a name or tag is invalid.
    """
    named: dict[Path, str] = {}
    for directory in directories:
        named.setdefault(Path(directory).resolve(), directory)
    sources = read_sources(named, options)
    if not apart:
        refuse_same_image(sources)
    packages = _packages(sources, options)
    return [_with_resolved_args(package, packages) for package in packages]


def _with_resolved_args(package: Package, submitted: Sequence[Package]) -> Package:
    """The package with tags in the build arguments that name directories of other packages.

    Submitted packages have the tag that they are submitted with, others that of their own build.yml.
    """
    args = package.yml.build_args
    known = {Path(one.directory).resolve(): one for one in submitted}

    def find(directories: Sequence[Path]) -> list[Package]:
        others = {directory: str(directory) for directory in directories if directory not in known}
        options = TagOptions()
        read = {Path(one.directory): one for one in _packages(read_sources(others, options), options)}
        return [(known | read)[directory] for directory in directories]

    resolved = resolve_tags(args, Path(package.directory).resolve(), find)
    return package if resolved == args else replace(package, yml=replace(package.yml, build_args=resolved))


def _packages(sources: Sequence[PackageSource], options: TagOptions) -> list[Package]:
    facts = read_facts(sources, options)
    return [_package(source, facts.get(top_of(source.path)), options) for source in sources]


def _package(source: PackageSource, facts: GitFacts | None, options: TagOptions) -> Package:
    if facts is None:
        hash_ = options.fixed_hash or "latest"
        reference = _reference(source, hash_)
        return Package(source.directory, source.yml, reference, hash_, str(source.path), None, False, ())
    trees = facts.trees_of(source, options)
    dirty = options.force_dirty or facts.is_dirty(source)
    hash_ = options.fixed_hash or facts.hash_of(source, trees, dirty=dirty)
    return Package(
        source.directory,
        source.yml,
        _reference(source, hash_),
        hash_,
        facts.repository.top,
        # A package with a fixed hash may be uncommitted in part: then no commit holds all of its content.
        facts.repository.commit if trees else None,
        dirty,
        trees,
    )


def _reference(source: PackageSource, hash_: str) -> Reference:
    try:
        return Reference.parse(f"{source.yml.org}/{source.yml.image}:{render_tag(source.yml.tag, hash_)}")
    except InputError as error:
        raise InputError(f"{source.directory}: {error.message}", hint=error.hint) from error
