"""A package's tag: the flags that decide about it, and how it follows from hashes, by the rules of linuxkit.

https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/pkglib.go (NewFromConfig)
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import DirtyError, InputError
from farm.package.build_args import override

if TYPE_CHECKING:
    from farm.model import BuildYml, Package

_HEAD = "HEAD"
_HASH = re.compile(r"\{\{\s*\.Hash\s*\}\}")


class TagOptions(NamedTuple):
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
    include_ignored: bool = False
    """Build all files of the directories, and make the tag from them, not from what is committed."""
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

    def apply(self, yml: BuildYml) -> BuildYml:
        """A build.yml with what overrides it; refuses a Dockerfile outside the package."""
        values = {
            "org": self.org or (self.user if self.dev else None),
            "tag": self.tag,
            "dockerfile": _inside_package(self.dockerfile) if self.dockerfile else None,
            "network": self.network,
            "disable_cache": self.disable_cache,
            "disable_content_trust": self.disable_content_trust,
        }
        given: dict[str, Any] = {name: value for name, value in values.items() if value not in (None, "")}
        return yml._replace(build_args=override(yml.build_args, self.build_args), **given)


def refuse_other_files(options: TagOptions) -> None:
    """Refuse to take both the files of the working directory and those of another commit."""
    if options.include_ignored and options.other_commit:
        raise InputError("--include-ignored and --hash-commit exclude each other", hint="give one of them")


def _inside_package(dockerfile: str) -> str:
    path = posixpath.normpath(dockerfile)
    if path.startswith(("/", "../")) or path in ("..", "."):
        raise InputError(f"--dockerfile {dockerfile}: must be a file in the package's directory or below")
    return path


def render_tag(template: str, hash_: str) -> str:
    """A tag template with `{{.Hash}}` replaced; refuses other placeholders."""
    if "{{" in _HASH.sub("", template):
        raise InputError(f"invalid tag template {template!r}", hint="it may contain {{.Hash}} and plain text")
    return _HASH.sub(lambda _: hash_, template)


def require_committed(package: Package) -> None:
    """Raise a DirtyError for uncommitted changes, an InputError for a package whose content has no hash.

    A package that is not in git has one where the user gave the hash of its tag, or made it from all files.
    """
    if package.dirty:
        raise DirtyError(
            f"{package.directory}: has uncommitted changes, but a tag names committed content",
            hint="commit or stash them; `git status` shows which",
        )
    if not package.trees:
        raise InputError(f"{package.directory}: is not in git", hint="git init, git add and git commit it")


def require_submodules(package: Package) -> None:
    """Raise an InputError for a package that cannot be built, since a submodule is not checked out."""
    for submodule in package.submodules:
        if not submodule.commit:
            raise InputError(
                f"{package.directory}: the submodule {submodule.tree.dst} is not checked out at the commit "
                f"{submodule.tree.commit[:12]} that its repository names",
                hint="git submodule update --init --recursive",
            )
