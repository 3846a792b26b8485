"""The plan of a push: what was asked for, and for each package what is published, missing, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import combine

if TYPE_CHECKING:
    from farm.errors import FarmError, TagOverwrittenError
    from farm.model import ArchImage, Descriptor, Package
    from farm.trust.signer import SignedName


class PushOptions(NamedTuple):
    """What a push is asked to do with all of its packages."""

    arches: tuple[str, ...]
    """Architectures of a package whose build.yml names none."""
    platforms: tuple[str, ...] = ()
    """Architectures of every package, whatever its build.yml names."""
    skip: tuple[str, ...] = ()
    """Architectures to leave out of every package."""
    only: tuple[str, ...] = ()
    """Build only these of each package's architectures, and publish a partial index."""
    sign: bool = True
    force: bool = False
    partial: bool = False
    every_image: bool = False
    """Whether to look up images of all architectures, not only those of the package."""
    release: str = ""
    """A release tag for every package, such as v1.2; "" for none."""
    images_only: bool = False
    """Whether to push the images and leave the index as it is."""
    adopt: bool = False
    """Whether existing images count although no authorised worker attests them."""


def arches_of(package: Package, options: PushOptions) -> tuple[str, ...]:
    """The architectures that a package's index must contain."""
    arches = options.platforms or package.yml.arches_or(options.arches)
    return tuple(
        arch for arch in arches if arch not in options.skip and (not options.only or arch in options.only)
    )


def is_signed(package: Package, options: PushOptions) -> bool:
    """Whether the package's index is to be signed."""
    return options.sign and not package.yml.disable_content_trust


@dataclass(frozen=True, slots=True)
class PublishedPackage:
    """What is published and signed of one package."""

    images: dict[str, ArchImage] = field(default_factory=dict)
    """Architecture to image, for those of the package's architectures that are in the registry and count."""
    index: Descriptor | None = None
    indexed_arches: frozenset[str] = frozenset()
    """Architectures whose images are members of the index."""
    signed: bool = False
    """Whether the tag is signed with the digest of the index."""
    release_digest: str | None = None
    """The digest under the release tag; None if the tag does not exist."""
    release_signed: bool = False
    """Whether the release tag is signed with that digest."""
    signing: SignedName | None = None
    """What is signed of its repository, and who may sign there; None where nothing is to be signed."""
    unattested: dict[str, ArchImage] = field(default_factory=dict)
    """Architecture to image, for those that no authorised worker attests, and that are not signed."""
    overwritten: tuple[TagOverwrittenError, ...] = ()
    """The errors for its signed tags that refer to something else by now."""


@dataclass(frozen=True, slots=True)
class PackagePlan:
    """One package of a push, and what is left to do for it."""

    package: Package
    arches: tuple[str, ...]
    published: PublishedPackage
    sign: bool
    """Whether the index is to be signed."""
    needs: tuple[str, ...] = ()
    """Dependencies for which something is left to do."""
    force: bool = False
    release: str = ""
    """The release tag that is to refer to the index too; "" for none."""
    images_only: bool = False
    """Whether the index is left as it is."""
    adopt: bool = False
    """Whether images count that no authorised worker attests."""
    bases: tuple[tuple[str, str], ...] = ()
    """What its base images must be, as a `Job` has them."""

    @property
    def adopted(self) -> tuple[str, ...]:
        """The digests of the images that count only because they are adopted."""
        return tuple(one.digest for image in self.adopted_images for one in image.descriptors)

    @property
    def adopted_images(self) -> tuple[ArchImage, ...]:
        """The images that count only because they are adopted."""
        unattested = self.published.unattested.items() if self.adopt else ()
        return tuple(
            image
            for arch, image in unattested
            if arch not in self.published.images and arch not in self.build
        )

    @property
    def images(self) -> dict[str, ArchImage]:
        """Architecture to the image that counts."""
        return (self.published.unattested if self.adopt else {}) | self.published.images

    @property
    def build(self) -> tuple[str, ...]:
        """Architectures to build."""
        if self.force:
            return self.arches
        return tuple(arch for arch in self.arches if arch not in self.images)

    @property
    def publish(self) -> bool:
        """Whether the index has to be made or completed."""
        complete = not self.build and self.published.indexed_arches.issuperset(self.arches)
        return not self.images_only and not complete

    @property
    def to_sign(self) -> bool:
        """Whether a signature has to be made."""
        return self.sign and not self.images_only and (self.publish or not self.published.signed)

    @property
    def needs_signature(self) -> bool:
        """Whether a signature has to be made, of the tag or of its release."""
        return self.to_sign or (self.to_release and self.sign)

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is left to do, apart from a release."""
        return not self.build and not self.publish and not self.to_sign

    @property
    def to_release(self) -> bool:
        """Whether the release tag or its signature has to be made."""
        released = self.published.release_digest and (self.published.release_signed or not self.sign)
        return bool(self.release) and not released

    @property
    def release_taken(self) -> bool:
        """Whether the release tag refers to something other than what is to be released."""
        index = self.published.index
        digest = index.digest if index and not self.publish else None
        return bool(self.release) and self.published.release_digest not in (None, digest)

    def why(self) -> str:
        """One sentence: what will be done, and why."""
        return self._why() + (f"; release it as {self.release}" if self.to_release else "")

    def _why(self) -> str:
        if self.published.overwritten and not self.force:
            return "was overwritten after it was signed: do nothing"
        if self.up_to_date and self.images_only:
            return "all images exist"
        if self.up_to_date:
            return "published and signed" if self.sign else "published"
        if not self.build and not self.publish:
            return "published but not signed: sign it"
        if not self.build:
            return "all images exist: publish the index" + (" and sign it" if self.sign else "")
        existing = [arch for arch in self.arches if arch not in self.build]
        kept = f"; {', '.join(existing)} {'exists' if len(existing) == 1 else 'exist'}" if existing else ""
        after = f"; after {', '.join(self.needs)}" if self.needs else ""
        alone = ", and make no index" if self.images_only else ""
        distrusted = [arch for arch in self.build if arch in self.published.unattested]
        again = (
            f"; no authorised worker attests {', '.join(distrusted)}" if distrusted and not self.force else ""
        )
        return f"build {', '.join(self.build)}{kept}{again}{after}{alone}"

    def to_json(self) -> dict[str, Any]:
        """The output of `--json`."""
        return {
            "package": self.package.image,
            "directory": self.package.directory,
            "reference": str(self.package.reference),
            "hash": self.package.hash,
            "tree": self.package.tree,
            "arches": list(self.arches),
            "build": list(self.build),
            "publish": self.publish,
            "sign": self.to_sign,
            "needs": list(self.needs),
            "index": self.published.index.to_json() if self.published.index else None,
            "signed": self.published.signed,
            "release": self.release if self.to_release else None,
            "why": self.why(),
        }


class Plan(NamedTuple):
    """All packages of a push, dependencies first."""

    packages: tuple[PackagePlan, ...]
    warnings: tuple[str, ...] = ()
    refusals: tuple[FarmError, ...] = ()
    """Why a push of it is refused; none if it is not."""

    @property
    def work(self) -> tuple[PackagePlan, ...]:
        """The packages for which something is left to do."""
        return tuple(plan for plan in self.packages if not plan.up_to_date)

    @property
    def releases(self) -> tuple[PackagePlan, ...]:
        """The packages that are to be released."""
        return tuple(plan for plan in self.packages if plan.to_release)

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is left to do."""
        return not self.work and not self.releases

    @property
    def refusal(self) -> FarmError | None:
        """All refusals as one error; None if there are none."""
        return combine(self.refusals) if self.refusals else None

    @property
    def queues(self) -> set[str]:
        """The queues that workers must serve: the architectures to build, and "publish"."""
        builds = {arch for plan in self.work for arch in plan.build}
        return builds if self.up_to_date else builds | {"publish"}
