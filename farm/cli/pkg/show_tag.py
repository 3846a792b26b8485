"""farm pkg show-tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.pkg.common_flags import boolean_flag, directories_argument
from farm.cli.pkg.verb import pkg_verb
from farm.cli.show_tag import print_tags

if TYPE_CHECKING:
    from farm.cli.pkg.request import PkgRequest


@pkg_verb(
    "show-tag",
    directories_argument(),
    boolean_flag("canonical", "Include the registry's host, as in docker.io/linuxkit/foo:HASH."),
)
def command(request: PkgRequest) -> None:
    """Print the tag of each package directory, one a line. Same as farm show-tag."""
    print_tags(request.directories, request.tags, canonical=bool(request.flags.canonical))
