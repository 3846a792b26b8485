"""farm pkg show-tag and remote-tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.output import print_note, say
from farm.cli.pkg.flags import CANONICAL_FLAG, DIRECTORIES
from farm.cli.pkg.verbs import pkg_verb
from farm.cli.tags import print_tags

if TYPE_CHECKING:
    from farm.cli.pkg.verbs import PkgRequest


@pkg_verb("show-tag", DIRECTORIES, CANONICAL_FLAG)
def show_tag(request: PkgRequest) -> None:
    """Print the tag of each package directory, one a line. Same as farm show-tag."""
    print_tags(request.directories, request.tags, canonical=bool(request.flags.canonical))


@pkg_verb(
    "remote-tag",
    click.Argument(["source"], metavar="FROM"),
    click.Argument(["target"], metavar="TO"),
    click.Option(["--release"], metavar="TAG", help="No effect, as with linuxkit."),
)
def remote_tag(request: PkgRequest, source: str, target: str) -> None:
    """Make TO refer to the same bytes as FROM; replaces what TO refers to.

    Within one repository this adds a tag; into another, everything that the image refers to is copied too.
    """
    from farm.model import Reference
    from farm.registry.client import open_registry
    from farm.registry.copy_image import CopyResult, copy

    if request.flags.release:
        print_note("--release: has no effect on remote-tag")
    old, new = (Reference.parse(name).or_latest() for name in (source, target))
    with open_registry(request.settings) as registry:
        result, descriptor = copy(registry, old, new)
    if result is CopyResult.REPLACED:
        print_note(f"{new.familiar} referred to something else before")
    done = "existed already" if result is CopyResult.UNCHANGED else f"is {old.familiar}"
    say(f"{new.familiar}  {descriptor.digest}  {done}")
