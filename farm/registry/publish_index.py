"""Publish an index without losing an image, even if others publish under the same name.

A lease separates the publishers of one farm, but not those of two, and a registry has no compare-and-swap for
tags. All publishers see the architecture tags, and each of these is pushed before an index is assembled. So
after pushing an index, a publisher reads the index and the architecture tags again, and pushes another index
for as long as they call for one. The last publisher to push has then seen the images of all others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.errors import RegistryError, RegistryUnavailableError
from farm.model import ARCHES
from farm.registry.client import Manifest
from farm.registry.index import assemble, missing
from farm.registry.published_images import arch_image, read_index

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from farm.model import ArchImage, Descriptor, Reference
    from farm.registry.client import Registry
    from farm.registry.index import Index

_ROUNDS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
"""Seconds between two rounds at most."""
_READ_BACKS = 3


@dataclass(frozen=True, slots=True)
class IndexPublication:
    """An index to be published as NAME:TAG."""

    registry: Registry
    reference: Reference
    built: Sequence[ArchImage]
    """Images that were just built: each replaces the published one for its architecture."""
    existing: Sequence[ArchImage] = ()
    """Images that were published before; what their own tags refer to now is newer."""
    required: Sequence[str] = ()
    """Architectures without which nothing is published."""

    def publish(
        self, *, check_lease: Callable[[], None], sign: Callable[[Descriptor], None], stop: threading.Event
    ) -> Descriptor:
        """Publish an index of all images under NAME:TAG, and sign it; `stop` ends the publication.

        `check_lease` is called before each push and signature, and raises if another publisher has the lease.

        Raises:
            RegistryUnavailableError: others kept publishing under this name.
            RegistryError: a required architecture is missing, or the registry refuses the index.
        """
        # The first round has published what was built here; a later replacement of it is newer.
        later = replace(self, built=(), existing=(*self.existing, *self.built))
        for number in range(_ROUNDS):
            if number:
                pause = random.uniform(0, min(_FIRST_PAUSE * 2 ** (number - 1), _LONGEST_PAUSE))  # noqa: S311 - no secret
                if self.registry.deadline.passed or stop.wait(pause):
                    break
            published = (later if number else self).publish_once(check_lease, sign)
            if published:
                return published
        raise RegistryUnavailableError(
            f"{self.reference.familiar}: another client kept overwriting the index",
            hint="find out who else pushes this tag, then push again",
        )

    def publish_once(
        self, check_lease: Callable[[], None], sign: Callable[[Descriptor], None]
    ) -> Descriptor | None:
        """Push and sign the index of this moment; None if others published meanwhile."""
        current, index = self._assemble()
        descriptor = index.descriptor()
        if current != descriptor.digest:
            check_lease()
            if not put(self.registry, self.reference, Manifest(descriptor, index.body())):
                return None
        check_lease()
        sign(descriptor)
        return descriptor if self._assemble() == (descriptor.digest, index) else None

    def _assemble(self) -> tuple[str | None, Index]:
        """The digest that the tag refers to, and the index that it should refer to."""
        published, descriptor = read_index(self.registry, self.reference)
        built = {image.arch: image for image in self.built}

        def tagged(arch: str) -> ArchImage | None:
            return arch_image(self.registry, self.reference.for_arch(arch), arch, published)

        tags = self.registry.at_once(tagged, [arch for arch in ARCHES if arch not in built])
        images = {image.arch: image for image in (*self.existing, *filter(None, tags))} | built
        index = assemble(list(images.values()), published)
        if absent := missing(index, self.required):
            raise RegistryError(
                f"{self.reference.familiar}: no image for {', '.join(absent)}; the index would be incomplete",
                hint="build what is missing, or push with --partial",
            )
        return descriptor.digest if descriptor else None, index


def put(registry: Registry, reference: Reference, wanted: Manifest) -> bool:
    """Put a manifest or an index under a tag; return whether the tag then refers to these bytes."""
    # They are read back more than once, because a registry with several replicas may need a moment.
    registry.put_manifest(reference, wanted.descriptor.media_type, wanted.body)
    manifests = (registry.manifest(reference) for _ in range(_READ_BACKS))
    return any(manifest is not None and manifest.body == wanted.body for manifest in manifests)


def put_all(registry: Registry, manifests: Mapping[Reference, Manifest]) -> None:
    """Put each manifest under its tag, and read it back; an error for the first that was overwritten."""
    unchanged = registry.at_once(lambda pair: put(registry, *pair), manifests.items())
    for reference, is_unchanged in zip(manifests, unchanged, strict=True):
        if not is_unchanged:
            raise RegistryUnavailableError(
                f"{reference.familiar}: another client overwrote the tag right after the push",
                hint="find out who else pushes this tag, then push again",
            )
