"""Images that packages are built from and that a directory without a build.yml makes, as tools/alpine does.

Their tag is the tree hash of that directory, too; the farm does not build them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from farm.model import BuildYml
from farm.package.read_packages import is_hidden, read_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.errors import InputError
    from farm.model import Package, Reference
    from farm.package.tags import TagOptions

_HASH = re.compile(r"[0-9a-f]{40}(-dirty-[0-9a-f]{7})?")
_DOCKERFILE = "Dockerfile"


def find_image_directories(
    below: Sequence[str], build_yml: str, images: Iterable[Reference], options: TagOptions
) -> tuple[list[Package], list[InputError]]:
    """The packages without a build.yml that make some of these images, and the errors of those unreadable.

    Such an image is tagged with a hash, and the only directory below these that has its name and a
    Dockerfile makes it.
    """
    wanted = {image.name: image for image in images if _HASH.fullmatch(image.tag or "")}
    if not wanted:
        return [], []
    found = _candidates(below, build_yml, {name.rpartition("/")[2] for name in wanted})
    ymls: dict[str, BuildYml] = {}
    for image in wanted.values():
        org, _, name = image.with_tag("").familiar.rpartition("/")
        if len(directories := found.get(name, [])) == 1:
            ymls[directories[0]] = BuildYml(name, org, file="")
    return read_sources(ymls, options)


def _candidates(below: Sequence[str], build_yml: str, names: set[str]) -> Mapping[str, list[str]]:
    """Directories with a Dockerfile and without a build.yml, by their last part."""
    found: dict[str, list[str]] = {}
    for top in below:
        for path in sorted(Path(top).rglob(_DOCKERFILE)):
            directory = path.parent
            hidden = is_hidden(path, top)
            if directory.name in names and not hidden and not (directory / build_yml).exists():
                found.setdefault(directory.name, []).append(str(directory))
    return found
