"""For which tag, and from which tree, workers have built what a tag refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.attestation.check import attestations_of_all
from farm.model import ARCHES
from farm.registry.index import Index, is_attestation
from farm.registry.oci import INDEXES, naming
from farm.trust.attested_builds import ImageOrigin, worker_keys
from farm.trust.verified_images import ImageVerifier, unverified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model import Reference
    from farm.registry.client import Manifest, Registry
    from farm.trust.policy import Policy

_MOST_IMAGES = 64
"""Images of an index that are looked at: one of anybody's could name thousands."""


def find_origin(
    registry: Registry, policy: Policy, reference: Reference, manifest: Manifest
) -> ImageOrigin | None:
    """For which tag and from which tree workers have built what NAME:TAG refers to; None if they have not.

    All of its images must be theirs. The index of a package is built for its own tag, the image of an
    architecture for NAME:TAG without -ARCH.
    """
    for source, arch in _sources(reference):
        with naming(reference):
            images = _images(manifest, arch)
        asked = [(reference, digest, one) for digest, one in images]
        about = attestations_of_all(registry, asked, worker_keys(policy))
        stated = {one.provenance.tree for found in about for one in found}
        for origin in (ImageOrigin(source, tree) for tree in sorted(stated)):
            if not unverified(ImageVerifier(registry, policy, origin), manifest, arch):
                return origin
    return None


def _sources(reference: Reference) -> Iterator[tuple[Reference, str]]:
    """The tags for which it may have been built, each with the one architecture that it then is of."""
    tag = str(reference.tag)
    yield reference, ""
    for arch in ARCHES:
        if tag.endswith(f"-{arch}"):
            yield reference.with_tag(tag.removesuffix(f"-{arch}")), arch


def is_of_arch(manifest: Manifest, arch: str) -> bool:
    """Whether this is an index of a package, or of one architecture if that is given, or such an image."""
    return bool(_images(manifest, arch))


def _images(manifest: Manifest, arch: str) -> list[tuple[str, str]]:
    """Digest and architecture of each image; none if it is not as `is_of_arch` says."""
    if manifest.descriptor.media_type not in INDEXES:
        return [(manifest.descriptor.digest, arch)] if arch else []
    members = [one for one in Index.parse(manifest.body).manifests if not is_attestation(one)]
    found = [(one.digest, one.platform.architecture if one.platform else "") for one in members]
    wanted = {arch} if arch else set(ARCHES)
    return found if len(found) <= _MOST_IMAGES and all(of in wanted for _, of in found) else []


def is_plain(manifest: Manifest) -> bool:
    """Whether this is an image, or an index that has nothing but its images, as a publisher writes it."""
    if manifest.descriptor.media_type not in INDEXES:
        return True
    index = Index.parse(manifest.body)
    return not index.annotations and index.body() == manifest.body
