"""The Signer protocol: what the farm needs of whatever signs its indexes, and which signer that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from farm.errors import TagOverwrittenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.errors import TrustError
    from farm.model import Descriptor, Reference
    from farm.registry.credentials import Credentials
    from farm.settings import Settings


class SignTarget(NamedTuple):
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


class Signature(NamedTuple):
    """What a tag is signed to be: digest (sha256:HEX) and size in bytes."""

    digest: str
    size: int


class SignedName(NamedTuple):
    """What is signed of one repository, and who may sign there."""

    name: str
    tags: dict[str, Signature]
    refusal: TrustError | None = None
    """Why nobody can sign there yet; None if somebody can."""
    allowed: tuple[bytes, ...] = ()
    """The public keys that may sign, in the signer's own form."""


def overwritten(
    reference: Reference, found: str | None, signing: SignedName | None
) -> TagOverwrittenError | None:
    """The error for a signed tag that now refers to something else; None if there is nothing to refuse.

    Whoever is about to build upon NAME:TAG, merge it, push over it or sign it asks this first: `found` is the
    digest that the tag refers to, None if it refers to nothing.
    """
    signed = signing.tags.get(str(reference.tag)) if signing else None
    if signed is None or found is None or found == signed.digest:
        return None
    return TagOverwrittenError(
        f"{reference.familiar} refers to {found}, but {signed.digest} is signed: it was overwritten",
        hint=f"restore it: farm pkg remote-tag {reference.with_digest(signed.digest).familiar} "
        f"{reference.familiar}; or build it again: farm push --force",
    )


class Signer(Protocol):
    """Signs tags, and reads signatures back. A repository's NAME is HOST/REPOSITORY, without a tag."""

    def check_settings(self, names: Iterable[str], *, to_sign: bool) -> None:
        """Make sure that the settings name what is needed to read signatures, and `to_sign`, a key.

        It asks nobody and opens no key, so it takes no time.

        Raises:
            TrustDeniedError: something is missing; the hint says how to make it.
        """

    def ready(self, names: Iterable[str]) -> None:
        """Make sure, before anything is published, that this machine can sign tags of these repositories.

        Raises:
            FarmError: a program is missing.
            TrustError: as `check_key`, or a repository is not prepared for signing.
        """

    def check_key(self, names: Iterable[SignedName]) -> None:
        """Make sure that this machine's key opens, and that it is allowed to sign there.

        Raises:
            TrustDeniedError: it is missing, or cannot be opened, or is not allowed.
        """

    def sign(self, targets: Iterable[SignTarget]) -> None:
        """Sign tags, and read the signatures back; what is signed already stays as it is.

        Raises:
            TrustError: a signature could not be made, or cannot be read back.
        """

    def signed(self, names: Iterable[str]) -> dict[str, SignedName]:
        """What is signed now, by name; a repository without signatures has no tags.

        Raises:
            TrustError: the signatures cannot be read, which never means that there are none.
        """

    def describe(self, name: str) -> str:
        """Where the signatures of a repository are kept."""

    def command_line(self, target: SignTarget) -> Sequence[str]:
        """The command with which a person would sign a target."""


def make_signer(settings: Settings, credentials: Credentials | None = None) -> Signer:
    """The signer of this farm. Notary is the only one; the choice of another belongs here.

    Args:
        settings: keys, servers and time limits.
        credentials: the registry logins, which notary takes too; None loads docker's when one is needed.
    """
    from farm.trust.notary.signer import NotarySigner  # noqa: PLC0415 - start-up time counts without signing, too

    return NotarySigner(settings, credentials)
