"""The flags that override build.yml and decide about a package's tag."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.errors import InputError
from farm.package.build_args import override

if TYPE_CHECKING:
    from farm.model import BuildYml

_HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class TagOptions:
    """What overrides build.yml: each field is a flag of `linuxkit pkg`; None keeps what build.yml says."""

    org: str | None = None
    hash: str | None = None
    """The hash to use instead of git's."""
    hash_commit: str = _HEAD
    hash_path: str | None = None
    """A directory that contains the packages; its tree hash is used instead of theirs."""
    tag: str | None = None
    """The tag template."""
    dev: bool = False
    """Organisation `user` and hash "dev", unless `org` and `hash` are given."""
    user: str | None = None
    force_dirty: bool = False
    build_yml: str = "build.yml"
    dockerfile: str | None = None
    network: bool | None = None
    disable_cache: bool | None = None
    disable_content_trust: bool | None = None
    build_args: tuple[str, ...] = ()
    """NAME=VALUE each; they override those of the same name in build.yml."""

    @property
    def other_commit(self) -> bool:
        """Whether content is taken from another commit than HEAD."""
        return self.hash_commit != _HEAD

    @property
    def fixed_hash(self) -> str | None:
        """The hash that replaces git's; None if git is asked."""
        return self.hash or ("dev" if self.dev else None)


def apply_options(yml: BuildYml, options: TagOptions) -> BuildYml:
    """A build.yml with the options that override it.

    Raises:
        InputError: the Dockerfile is outside the package.
    """
    values = {
        "org": options.org or (options.user if options.dev else None),
        "tag": options.tag,
        "dockerfile": _inside_package(options.dockerfile) if options.dockerfile else None,
        "network": options.network,
        "disable_cache": options.disable_cache,
        "disable_content_trust": options.disable_content_trust,
    }
    given: dict[str, Any] = {name: value for name, value in values.items() if value not in (None, "")}
    return replace(yml, build_args=override(yml.build_args, options.build_args), **given)


def _inside_package(dockerfile: str) -> str:
    path = posixpath.normpath(dockerfile)
    if path.startswith(("/", "../")) or path in ("..", "."):
        raise InputError(f"--dockerfile {dockerfile}: must be a file in the package's directory or below")
    return path
