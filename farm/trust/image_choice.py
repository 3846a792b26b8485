"""Which image an index gets for each architecture, of all those that tags, messages and indexes name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.model import ArchImage
from farm.registry.index import Index, members_of, without_attestations
from farm.registry.oci import INDEXES, naming
from farm.trust.verified_images import newest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.trust.attested_builds import OrderedBuild
    from farm.trust.signer import SignedName
    from farm.trust.verified_images import ImageVerifier, VerifiedImage


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """Chooses the images of one index: only verified ones, and of each architecture the newest."""

    verifier: ImageVerifier
    signed: Index
    """The index that is signed now under the tag, whatever the tag refers to; an empty one for none."""
    report: Callable[[str], None]
    """Receives a line about each image that is left out."""
    builds: Mapping[str, OrderedBuild] = field(default_factory=dict)
    """Architecture to the build that the order wants: without it, an earlier image does not count."""
    chosen: dict[str, VerifiedImage] = field(default_factory=dict)
    """Architecture to the image that was chosen last."""
    _reported: set[str] = field(default_factory=set)
    _why: dict[str, str] = field(default_factory=dict)

    def choose(self, arch: str, candidates: Sequence[ArchImage]) -> ArchImage | None:
        """The image for an architecture; None if none of the candidates may be published."""
        target = self.verifier.origin.reference
        members = members_of(self.signed, arch)
        known = [ArchImage(arch, target.for_arch(arch), members)] if members else []
        pairs = [(image, self.verifier.verify(image)) for image in (*candidates, *known)]
        best = newest(found for _, found in pairs if self._counts(arch, found))
        for image, found in pairs:
            if not self._counts(arch, found):
                self._leave_out(image, found)
        if best is None:
            self.chosen.pop(arch, None)
            return None
        self.chosen[arch] = best
        return best.image

    def _counts(self, arch: str, found: VerifiedImage | None) -> bool:
        build = self.builds.get(arch)
        return bool(found and (not build or build.is_made(found.orders, found.recipes, found.ordered)))

    def _leave_out(self, image: ArchImage, found: VerifiedImage | None) -> None:
        for one in without_attestations(image):
            why = "it was built for another order" if found else self.verifier.why_not(one.digest)
            self._why[image.arch] = why
            if one.digest not in self._reported:
                self._reported.add(one.digest)
                target = self.verifier.origin.reference.familiar
                self.report(f"{target}: left out {one.digest} for {image.arch}: {why}")

    def why_missing(self, arch: str) -> str:
        """Why no candidate of an architecture was chosen; "" if there was none."""
        return self._why.get(arch, "")


def image_choice(
    verifier: ImageVerifier,
    signed: SignedName | None,
    report: Callable[[str], None],
    builds: Mapping[str, OrderedBuild],
) -> ImageChoice:
    """The choice for one tag; `signed` is what its repository has signed, None if nothing counts for that."""
    index = signed_index(verifier.registry, signed, verifier.origin.reference) if signed else Index(())
    digests = {member.digest for member in index.manifests}
    return ImageChoice(replace(verifier, is_signed=digests.__contains__), index, report, builds)


def signed_index(registry: Registry, signed: SignedName, reference: Reference) -> Index:
    """The index that is signed under a tag, read by its digest; an empty one if there is none."""
    signature = signed.tags.get(reference.tag or "")
    manifest = registry.manifest(reference.with_digest(signature.digest)) if signature else None
    if manifest is None or manifest.descriptor.media_type not in INDEXES:
        return Index(())
    with naming(reference):
        return Index.parse(manifest.body)
