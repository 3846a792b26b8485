"""farm pkg manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.manifest import publish_existing_images
from farm.cli.pkg.common_flags import directories_argument, value_flag
from farm.cli.pkg.verb import pkg_verb
from farm.cli.push_flags import make_push_options

if TYPE_CHECKING:
    from farm.cli.pkg.request import PkgRequest


@pkg_verb("manifest", directories_argument(), value_flag("release", "Also publish under this tag.", "TAG"))
def command(request: PkgRequest) -> int:
    """Publish and sign the index of each package's existing NAME:HASH-ARCH images: farm manifest --partial.

    An architecture whose image is missing is left out; a later call adds it.
    """
    options = make_push_options(request.settings, partial=True, release=request.flags.release)
    return publish_existing_images(request.directories, request.tags, request.settings, options)
