"""What a submission comes to: for each package what stands, what is missing, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.model import ArchImage, Descriptor, Package


@dataclass(frozen=True, slots=True)
class Found:
    """What the registry and the notary server hold of one package."""

    images: dict[str, ArchImage] = field(default_factory=dict)
    """Architecture to image, for those of the package's architectures that stand."""
    index: Descriptor | None = None
    indexed: frozenset[str] = frozenset()
    """Architectures that the index holds."""
    signed: bool = False
    """Whether the index's very digest is signed under its tag."""
    release: str | None = None
    """The digest under the release's tag; None where nothing stands there."""
    release_signed: bool = False
    """Whether that very digest is signed under the release's tag."""


@dataclass(frozen=True, slots=True)
class PackagePlan:
    """One package of a submission, and what there is to do for it."""

    package: Package
    arches: tuple[str, ...]
    found: Found
    sign: bool
    needs: tuple[str, ...] = ()
    force: bool = False
    release: str = ""
    """The tag under which the index is to stand too; "" for none."""
    images_only: bool = False
    """Whether no index is to be made."""

    @property
    def to_release(self) -> bool:
        """Whether the release's tag, or its signature, has to be made."""
        stands = self.found.release and (self.found.release_signed or not self.sign)
        return bool(self.release) and not stands

    @property
    def conflicts(self) -> bool:
        """Whether the release's tag holds something else than what is to be released."""
        known = self.found.index.digest if self.found.index and not self.publish else None
        return bool(self.release) and self.found.release not in (None, known)

    @property
    def build(self) -> tuple[str, ...]:
        """Architectures to build."""
        return (
            self.arches
            if self.force
            else tuple(arch for arch in self.arches if arch not in self.found.images)
        )

    @property
    def publish(self) -> bool:
        """Whether the index has to be made or completed."""
        complete = not self.build and self.found.indexed.issuperset(self.arches)
        return not self.images_only and not complete

    @property
    def to_sign(self) -> bool:
        """Whether a signature has to be made."""
        return self.sign and not self.images_only and (self.publish or not self.found.signed)

    @property
    def nothing(self) -> bool:
        """Whether the package stands as asked for."""
        return not self.build and not self.publish and not self.to_sign

    def why(self) -> str:
        """One sentence: what will be done, and why."""
        return self._why() + (f"; release it as {self.release}" if self.to_release else "")

    def _why(self) -> str:
        if self.nothing and self.images_only:
            return "all images stand"
        if self.nothing:
            return "stands, signed" if self.sign else "stands"
        if not self.build and not self.publish:
            return "the index stands unsigned: sign it"
        if not self.build:
            return "all images stand: publish the index" + (" and sign it" if self.sign else "")
        there = [arch for arch in self.arches if arch not in self.build]
        kept = f"; {', '.join(there)} {'stands' if len(there) == 1 else 'stand'}" if there else ""
        after = f"; after {', '.join(self.needs)}" if self.needs else ""
        alone = ", and make no index" if self.images_only else ""
        return f"build {', '.join(self.build)}{kept}{after}{alone}"

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {
            "package": self.package.image,
            "directory": self.package.directory,
            "reference": str(self.package.reference),
            "hash": self.package.hash,
            "arches": list(self.arches),
            "build": list(self.build),
            "publish": self.publish,
            "sign": self.to_sign,
            "needs": list(self.needs),
            "index": self.found.index.to_json() if self.found.index else None,
            "signed": self.found.signed,
            "release": self.release if self.to_release else None,
            "why": self.why(),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole submission, in an order in which every package comes after those that it needs."""

    packages: tuple[PackagePlan, ...]
    warnings: tuple[str, ...] = ()

    @property
    def todo(self) -> tuple[PackagePlan, ...]:
        """The packages for which there is something to do."""
        return tuple(plan for plan in self.packages if not plan.nothing)

    @property
    def releases(self) -> tuple[PackagePlan, ...]:
        """The packages that are to be released."""
        return tuple(plan for plan in self.packages if plan.to_release)

    @property
    def nothing(self) -> bool:
        """Whether everything stands as asked for."""
        return not self.todo and not self.releases

    @property
    def queues(self) -> set[str]:
        """The architectures that the plan has to build, and "publish"."""
        return {arch for plan in self.todo for arch in plan.build} | (set() if self.nothing else {"publish"})
