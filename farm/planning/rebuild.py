"""From the attestations of images to the work that builds them again, so that the bytes can be compared.

The build is the one that an attestation states, without a cache and under a tag of its own: nothing that is
published changes, whatever a worker has stated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.attestation.check import attestations
from farm.errors import AttestationError, FarmError, InputError
from farm.model import ARCHES, Job, PackageWork
from farm.registry.index import Index, is_attestation, members_of
from farm.registry.oci import INDEXES, naming
from farm.trust.attested_builds import worker_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.attestation.check import Attestation
    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.trust.policy import Policy

_SUFFIX = "-rebuild"
"""What is added to the tag of an image for its second build."""


def find_attested(
    registry: Registry, policy: Policy, reference: Reference, arches: Sequence[str] = ()
) -> dict[str, Attestation]:
    """Architecture to the newest attestation of its image under a tag or digest.

    Raises:
        RegistryError: there is no such image.
        InputError: there is none for one of the given architectures.
        AttestationError: no worker of the policy attests one of them.
    """
    images = _images(registry, reference, arches)
    keys = worker_keys(policy)
    found = {
        arch: about[0]
        for arch, digest in images
        if (about := _own(attestations(registry, reference, digest, keys, arch)))
    }
    several = len({digest for _, digest in images}) > 1
    lacking = list(dict.fromkeys(arch for arch, _ in images if arch not in found))
    # Only its attestation says for which architecture a single image is.
    if lacking and (several or arches or not found):
        raise AttestationError(
            f"{reference.familiar}: no worker of the policy attests the image for {', '.join(lacking)}",
            hint="`farm policy show` lists the workers",
        )
    return found


def _images(registry: Registry, reference: Reference, arches: Sequence[str]) -> list[tuple[str, str]]:
    """Architecture and digest of each image of an index; of a single one, with every architecture."""
    manifest = registry.existing(reference)
    if manifest.descriptor.media_type not in INDEXES:
        return [(arch, manifest.descriptor.digest) for arch in arches or ARCHES]
    with naming(reference):
        index = Index.parse(manifest.body)
    images = [
        (arch, one.digest)
        for arch in arches or ARCHES
        for one in members_of(index, arch)
        if not is_attestation(one)
    ]
    if missing := [arch for arch in arches if arch not in dict(images)]:
        raise InputError(f"{reference.familiar} has no image for {', '.join(missing)}")
    return images


def _own(found: Iterable[Attestation]) -> tuple[Attestation, ...]:
    """The attestations of an image's first build, not those of its rebuilds."""
    return tuple(one for one in found if not one.provenance.tag.endswith(_SUFFIX))


def rebuild_work(found: Mapping[str, Attestation], reference: Reference, run: str) -> PackageWork:
    """The work that builds the images again; what the attestations state is a build and nothing more.

    Raises:
        AttestationError: one of them does not state a build that this farm can repeat.
    """
    name = reference.with_tag("").familiar
    jobs = tuple(_job(arch, one, reference, (run, name)) for arch, one in found.items())
    tags = {job.reference for job in jobs}
    if len(tags) != 1:
        raise InputError(
            f"{reference.familiar}: its images were built for different tags", hint="choose one with --arch"
        )
    return PackageWork(
        name, jobs[0].reference, tuple(found), jobs, sign=False, images_only=True, tree=jobs[0].tree
    )


def _job(arch: str, one: Attestation, reference: Reference, names: tuple[str, str]) -> Job:
    said = one.provenance
    try:
        stated = Job.from_json({**said.parameters["job"], "run": names[0], "package": names[1]})
        contradicts = (stated.arch, stated.tree, stated.recipe) != (arch, said.tree, said.recipe)
        built = (stated.reference.name, stated.reference.tag)
    except (FarmError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AttestationError(
            f"{reference.familiar}: the attestation of {one.worker} states no build for {arch} that can be "
            f"repeated: {error}"
        ) from error
    if contradicts or built != (reference.name, said.tag):
        raise AttestationError(f"{reference.familiar}: the attestation of {one.worker} contradicts itself")
    return replace(
        stated,
        reference=reference.with_tag(f"{said.tag}{_SUFFIX}"),
        tag=f"{stated.tag}{_SUFFIX}",
        no_cache=True,
        force=True,
    )
