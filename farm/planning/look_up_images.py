"""The images that exist of packages, and those of them that count: from the index, where that is enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.registry.published_images import find_images, indexed_image
from farm.trust.existing_images import ExistingImage, attested_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from farm.model import ArchImage, Descriptor, Reference
    from farm.registry.client import Registry
    from farm.registry.index import Index
    from farm.trust.attested_builds import ImageOrigin
    from farm.trust.policy import Policy


@dataclass(frozen=True, slots=True)
class WantedImages:
    """The images of one package that are looked up, and the index that is known already."""

    origin: ImageOrigin
    arches: tuple[str, ...]
    index: Index | None
    descriptor: Descriptor | None
    """Of the index."""
    signed: bool
    """Whether the tag is signed as this index."""

    @property
    def reference(self) -> Reference:
        """NAME:TAG."""
        return self.origin.reference


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What there is of one package; dictionaries are by architecture."""

    index: Index | None
    descriptor: Descriptor | None
    trusted: dict[str, ArchImage] = field(default_factory=dict)
    """The images that count as built, as a publisher would choose them."""
    tagged: dict[str, ArchImage] = field(default_factory=dict)
    """The images that exist, where that of the index is not enough: by their own tags, or of the index."""


def look_up_images(
    registry: Registry, read_policy: Callable[[], Policy], wanted: Sequence[WantedImages]
) -> dict[Reference, FoundImages]:
    """The images of each package.

    An image of a signed index counts, and so does an attested one of any index. Only for the others are the
    architecture tags requested, all at once. The policy says which attestations count: it is read only if
    there is an image that no signature covers.
    """
    found = {one.reference: FoundImages(one.index, one.descriptor) for one in wanted}
    indexed = {
        (one.reference, arch): image
        for one in wanted
        for arch in one.arches
        if (image := indexed_image(one.index, one.reference, arch))
    }
    unknown = []
    for one in wanted:
        images = [indexed[key] for arch in one.arches if (key := (one.reference, arch)) in indexed]
        if one.signed:
            found[one.reference].trusted.update({image.arch: image for image in images})
        else:
            unknown += [ExistingImage(image, one.origin) for image in images]
    _trust(found, _attested(registry, read_policy, unknown))
    missing = [
        (one, arch) for one in wanted for arch in one.arches if arch not in found[one.reference].trusted
    ]
    indexes = {one.reference: (one.index, one.descriptor) for one in wanted}
    tagged = find_images(registry, [(one.reference, arch) for one, arch in missing], indexes)
    unknown = []
    for one, arch in missing:
        if image := tagged[one.reference, arch]:
            found[one.reference].tagged[arch] = image
            if image != indexed.get((one.reference, arch)):  # which does not count, as was seen above
                unknown.append(ExistingImage(image, one.origin))
    _trust(found, _attested(registry, read_policy, unknown))
    return found


def _attested(
    registry: Registry, read_policy: Callable[[], Policy], images: Sequence[ExistingImage]
) -> Iterable[ExistingImage]:
    return attested_images(registry, read_policy(), images) if images else ()


def _trust(found: dict[Reference, FoundImages], attested: Iterable[ExistingImage]) -> None:
    for one in attested:
        found[one.origin.reference].trusted[one.image.arch] = one.image
