"""The Signer protocol: what the farm needs of whatever signs its indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model import Descriptor, Reference


@dataclass(frozen=True, slots=True)
class SignTarget:
    """What to sign: a tag of a repository, and the digest and size in bytes that it must name."""

    name: str
    """The repository, such as docker.io/linuxkit/foo."""
    tag: str
    digest: str
    """sha256:HEX."""
    size: int

    @staticmethod
    def of(reference: Reference, descriptor: Descriptor) -> SignTarget:
        """The target that signs NAME:TAG to be what a descriptor names."""
        return SignTarget(reference.name, reference.tag or "", descriptor.digest, descriptor.size)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a tag is signed to be: digest (sha256:HEX) and size in bytes; and by whom."""

    digest: str
    size: int
    signed_by: str
    """In the signer's own terms; with notary, the role."""


class Signer(Protocol):
    """Signs tags, and reads signatures back. A repository's NAME is HOST/REPOSITORY, without a tag."""

    def ready(self, names: Iterable[str]) -> None:
        """Make sure, before anything is built or pushed, that tags of these repositories can be signed.

        Raises:
            FarmError: a program is missing.
            TrustError: the key cannot be opened, or a repository is not prepared for signing.
        """

    def sign(self, targets: Iterable[SignTarget]) -> None:
        """Sign tags, and read the signatures back; what is signed already stays as it is.

        Raises:
            TrustError: a signature could not be made, or cannot be read back.
        """

    def signed(self, names: Iterable[str]) -> dict[str, dict[str, Signature]]:
        """What is signed now, by name and tag; a repository without signatures has no tags.

        Raises:
            TrustError: the signatures cannot be read, which never means that there are none.
        """

    def describe(self, name: str) -> str:
        """Where the signatures of a repository are kept."""

    def command_line(self, target: SignTarget) -> Sequence[str]:
        """The command with which a person would sign a target."""
