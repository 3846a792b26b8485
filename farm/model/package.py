"""A package: its build.yml, its git trees, and its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model.docker_images import DockerImages
    from farm.model.reference import Reference


class ExtraSource(NamedTuple):
    """A directory elsewhere that is copied into the context at `dst`, "" for its top."""

    src: str
    dst: str


class BuildYml(NamedTuple):
    """A validated build.yml; the defaults are those of LinuxKit."""

    image: str
    org: str = "linuxkit"
    tag: str = "{{.Hash}}"
    dockerfile: str = "Dockerfile"
    arches: tuple[str, ...] | None = None
    """None if build.yml does not name them; none of them if there is nothing to build."""
    extra_sources: tuple[ExtraSource, ...] = ()
    gitrepo: str = "https://github.com/linuxkit/linuxkit"
    network: bool = False
    disable_content_trust: bool = False
    disable_cache: bool = False
    config: str | None = None
    """The value of the image's label."""
    build_args: tuple[str, ...] = ()
    depends: DockerImages | None = None
    file: str = "build.yml"
    """Its own name, a path from the package; "" if there is no such file."""

    def arches_or(self, default: Sequence[str]) -> Sequence[str]:
        """The architectures that build.yml names, or else the default."""
        return default if self.arches is None else self.arches


class GitTree(NamedTuple):
    """One directory of the build context.

    `path` is relative to the top of the repository, `tree` is its tree hash in hex, and `dst` is its place in
    the context ("" for the top). `repository` and `commit` are "" for those of the package.
    """

    path: str
    tree: str
    dst: str = ""
    repository: str = ""
    commit: str = ""


class Submodule(NamedTuple):
    """A submodule of a part of the build context, which is a part itself."""

    tree: GitTree
    within: int
    """The number of the part whose tree has this submodule."""
    commit: str
    """The commit object, each character a byte: its id is in the other tree, and it names this one.

    "" if this machine does not have it.
    """


def combined_hash(hashes: Sequence[str]) -> str:
    """The tree hash of a package, or sha1 over its own hash and those of its extra sources in order."""
    if len(hashes) == 1:
        return hashes[0]
    from farm.model.digests import combined_sha1  # noqa: PLC0415 - most packages have one tree: see there

    return combined_sha1(hashes)


class Package(NamedTuple):
    """A package at one commit: its build.yml, its git trees, and its reference."""

    directory: str
    """The directory as the user gave it, for messages."""
    yml: BuildYml
    reference: Reference
    """NAME:TAG of the index."""
    hash: str
    """What the tag is made from: `tree`, a hash that the user gave, or the hash of other files."""
    repository: str
    """The absolute path of the git repository's working tree."""
    commit: str | None
    """The commit that holds all of its content; None if there is none."""
    dirty: bool
    trees: tuple[GitTree, ...]
    """The package's own tree first, then each extra source in order; without a commit, those of all files."""

    submodules: tuple[Submodule, ...] = ()
    """Those of the trees, and theirs in turn."""

    @property
    def parts(self) -> tuple[GitTree, ...]:
        """The directories of the build context: the trees, then the submodules."""
        return (*self.trees, *(submodule.tree for submodule in self.submodules))

    @property
    def layout(self) -> tuple[tuple[str, ...], tuple[tuple[str, int, str], ...]]:
        """The destinations and the submodules of the context, as a Job has them."""
        places = tuple(tree.dst for tree in self.trees[1:])
        return places, tuple((one.tree.dst, one.within, one.commit) for one in self.submodules)

    @property
    def image(self) -> str:
        """ORG/IMAGE, the name of the package."""
        return f"{self.yml.org}/{self.yml.image}"

    @property
    def tree(self) -> str:
        """The hash of what is built if the package is clean, whatever its tag is made from."""
        return combined_hash([one.tree for one in self.trees])

    @property
    def is_clean(self) -> bool:
        """Whether the content of its context is known, so that it may be published."""
        return bool(self.trees) and not self.dirty

    @property
    def tagged(self) -> str:
        """ORG/IMAGE:TAG as linuxkit prints it, in the words of build.yml and the flags."""
        return f"{self.image}:{self.reference.tag}"

    @property
    def has_no_arches(self) -> bool:
        """Whether build.yml says that there is nothing to build, by a blank `arches`."""
        return self.yml.arches == ()

    @property
    def why_skipped(self) -> str:
        """The warning about a package that is left out because it has no architecture left."""
        return f"{self.image}: skipped: no {'' if self.has_no_arches else 'other '}architectures"
