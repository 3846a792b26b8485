"""Publish an index without losing an image, even if others publish under the same name.

A lease separates the publishers of one farm, but not those of two, and a registry has no compare-and-swap for
tags. All publishers see the architecture tags, and each of these is pushed before an index is assembled. So
after pushing an index, a publisher reads the index and the architecture tags again, and pushes another index
for as long as they call for one. The last publisher to push has then seen the images of all others.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.errors import RegistryError, RegistryUnavailableError
from farm.model import ARCHES, ArchImage
from farm.registry import read_back
from farm.registry.client import Manifest
from farm.registry.index import Index, assemble, members_of, missing, platforms
from farm.registry.published_images import arch_image, named_image, read_index
from farm.system.at_once import at_once

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry

    Choose = Callable[[str, Sequence[ArchImage]], ArchImage | None]
    """Architecture and candidates to the image that the index must have; None for no image."""

_ROUNDS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
"""Seconds between two rounds at most."""


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
    choose: Choose | None = None
    """Chooses each architecture's image; None to believe the tags, as `docker push` does."""
    why_missing: Callable[[str], str] = lambda _: ""
    """Says why no image was chosen for an architecture, or nothing."""

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
            with explaining(index):
                if not put(self.registry, self.reference, Manifest(descriptor, index.body()), current):
                    return None
        check_lease()
        sign(descriptor)
        return descriptor if self._assemble() == (descriptor.digest, index) else None

    def _assemble(self) -> tuple[str | None, Index]:
        """The digest that the tag refers to, and the index that it should refer to."""
        published, descriptor = read_index(self.registry, self.reference)
        index = self._chosen(published) if self.choose else self._merged(published)
        if absent := missing(index, self.required):
            reasons = ((arch, self.why_missing(arch)) for arch in absent)
            named = ", ".join(f"{arch} ({why})" if why else arch for arch, why in reasons)
            raise RegistryError(
                f"{self.reference.familiar}: no image for {named}; the index would be incomplete",
                hint="build what is missing, or push with --partial",
            )
        return descriptor.digest if descriptor else None, index

    def _merged(self, published: Index | None) -> Index:
        """The published index with what was built, and else with what the architecture tags refer to."""
        built = {image.arch: image for image in self.built}

        def tagged(arch: str) -> ArchImage | None:
            return arch_image(self.registry, self.reference.for_arch(arch), arch, published)

        tags = at_once(tagged, [arch for arch in ARCHES if arch not in built])
        images = {image.arch: image for image in (*self.existing, *filter(None, tags))} | built
        return assemble(list(images.values()), published)

    def _chosen(self, published: Index | None) -> Index:
        """The index of the image that is chosen for each architecture, and of nothing else."""

        def candidates(arch: str) -> list[ArchImage]:
            own = [image for image in (*self.built, *self.existing) if image.arch == arch]
            target = self.reference.for_arch(arch)
            tagged = named_image(self.registry, target, arch)
            members = members_of(published, arch) if published else ()
            indexed = ArchImage(arch, target, members) if members else None
            return [*own, *filter(None, (tagged, indexed))]

        choose = self.choose
        chosen = at_once(lambda arch: choose(arch, candidates(arch)) if choose else None, ARCHES)
        return assemble([image for image in chosen if image])


def put(registry: Registry, reference: Reference, wanted: Manifest, before: str | None = None) -> bool:
    """Put a manifest or an index under a tag; return whether the tag then refers to these bytes.

    For some seconds, a registry may still answer that there is nothing, or what was there `before`, a digest.

    Raises:
        RegistryUnavailableError: it does so for longer.
    """
    registry.put_manifest(reference, wanted.descriptor.media_type, wanted.body)

    def is_settled(found: Manifest | None) -> bool:
        return found is not None and found.descriptor.digest != before

    found = read_back.until(is_settled, lambda: registry.manifest(reference), registry.deadline)
    if found is None or found.descriptor.digest == before:
        raise RegistryUnavailableError(
            f"{reference.familiar}: the registry accepted the push, but does not show it", hint="push again"
        )
    return found.body == wanted.body


@contextmanager
def explaining(index: Index) -> Iterator[None]:
    """Let the error of a registry that refuses an index of images of two formats say so."""
    try:
        yield
    except RegistryError as error:
        if type(error) is not RegistryError or not index.is_mixed:
            raise
        docker = ", ".join(sorted(platforms(Index(index.of_docker))))
        raise RegistryError(
            f"{error.message}; the images for {docker} are in Docker's format, the others in OCI's",
            hint="let all workers use the same image store or builder, then push with --force",
        ) from error


def put_all(
    registry: Registry, manifests: Mapping[Reference, Manifest], before: Mapping[Reference, str] | None = None
) -> None:
    """Put each manifest under its tag, and read it back; then an error for the first that is not there.

    `before` has the digests of what some tags refer to now.
    """
    known = before or {}

    def attempt(pair: tuple[Reference, Manifest]) -> RegistryUnavailableError | None:
        reference, manifest = pair
        try:
            if put(registry, reference, manifest, known.get(reference)):
                return None
        except RegistryUnavailableError as error:
            return error
        return RegistryUnavailableError(
            f"{reference.familiar}: another client overwrote the tag right after the push",
            hint="find out who else pushes this tag, then push again",
        )

    for error in at_once(attempt, manifests.items()):
        if error:
            raise error
