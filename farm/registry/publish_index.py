"""Publishing an index so that nothing is lost, also where others publish under the same name.

A lease keeps the publishers of one farm apart, and nothing those of two: a registry cannot replace a tag only
if nobody else did. What all see are the architectures' tags, each pushed before an index is made. So whoever
has put an index looks at the tag and at them again; as long as that calls for another index, it puts that.
The last to put one then has seen the images of all whose looks came too early to see it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tenacity import (
    Retrying,
    retry_if_result,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from farm.errors import RegistryError, RegistryUnavailableError
from farm.model import ARCHES
from farm.registry.client import Manifest
from farm.registry.index import assemble, missing
from farm.registry.published_images import arch_image, read_index

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from farm.model import ArchImage, Descriptor, Reference
    from farm.registry.client import Registry
    from farm.registry.index import Index

_ROUNDS = 8
_READ_BACKS = 3


@dataclass(frozen=True, slots=True)
class Publishing:
    """An index that is to stand under NAME:TAG."""

    registry: Registry
    reference: Reference
    built: Sequence[ArchImage]
    """Images that were just built: each takes the place of what stands for its architecture."""
    standing: Sequence[ArchImage] = ()
    """Images that were there before; what their own tags hold now is newer."""
    required: Sequence[str] = ()
    """Architectures without which nothing is published."""

    def publish(
        self, *, ours: Callable[[], None], then: Callable[[Descriptor], None], until: threading.Event
    ) -> Descriptor:
        """Make NAME:TAG hold an index of all that stands, and sign it; returns its descriptor.

        Args:
            ours: raises unless the work is still ours; called before anything is pushed or signed.
            then: signs what was pushed.
            until: set when the work should end.

        Raises:
            RegistryUnavailableError: others kept publishing under this name.
            RegistryError: a required architecture is missing, or the registry refuses the index.
        """
        retrying = Retrying(
            retry=retry_if_result(lambda published: published is None),
            stop=stop_after_attempt(_ROUNDS) | stop_when_event_set(until),
            wait=wait_random_exponential(multiplier=0.1, max=3.0),
            sleep=sleep_using_event(until),
            retry_error_callback=lambda _: None,
        )
        # What we built was published by our first round; who replaced it since did so by something newer.
        later = replace(self, built=(), standing=(*self.standing, *self.built))
        turns = itertools.chain([self], itertools.repeat(later))
        published: Descriptor | None = retrying(lambda: next(turns).turn(ours, then))
        if published is None:
            raise RegistryUnavailableError(
                f"{self.reference.familiar} never kept the index that was pushed",
                hint="somebody else pushes this tag all the time; push again later",
            )
        return published

    def turn(self, ours: Callable[[], None], then: Callable[[Descriptor], None]) -> Descriptor | None:
        """Push and sign what should stand now; None where others published meanwhile."""
        found, index = self._assemble()
        descriptor = index.descriptor()
        if found != descriptor.digest:
            ours()
            if not put(self.registry, self.reference, Manifest(descriptor, index.body())):
                return None
        ours()
        then(descriptor)
        return descriptor if self._assemble() == (descriptor.digest, index) else None

    def _assemble(self) -> tuple[str | None, Index]:
        """The digest that stands under the tag, and the index that should."""
        known, found = read_index(self.registry, self.reference)
        ours = {image.arch: image for image in self.built}

        def tagged(arch: str) -> ArchImage | None:
            return arch_image(self.registry, self.reference.for_arch(arch), arch, known)

        tags = self.registry.at_once(tagged, [arch for arch in ARCHES if arch not in ours])
        images = {image.arch: image for image in (*self.standing, *filter(None, tags))} | ours
        index = assemble(list(images.values()), known)
        if absent := missing(index, self.required):
            raise RegistryError(
                f"no image for {', '.join(absent)}, and an index is never published in part",
                hint="build what is missing, or push with --partial",
            )
        return found.digest if found else None, index


def put(registry: Registry, reference: Reference, wanted: Manifest) -> bool:
    """Put a manifest or an index under a tag; whether the tag then holds these very bytes.

    They are read back more than once, because a registry of several machines may need a moment.
    """
    registry.put_manifest(reference, wanted.descriptor.media_type, wanted.body)
    manifests = (registry.manifest(reference) for _ in range(_READ_BACKS))
    return any(manifest is not None and manifest.body == wanted.body for manifest in manifests)
