"""The Signer protocol: what the farm needs of whatever signs its indexes, and which signer that is."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from farm.errors import TagOverwrittenError
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.errors import TrustError
    from farm.model import Descriptor
    from farm.registry.client import Registry
    from farm.settings import Settings


class SignTarget(NamedTuple):
    """What to sign: a tag of a repository, and the digest and size in bytes that it must name."""

    name: str
    """The repository, such as docker.io/linuxkit/foo."""
    tag: str
    digest: str
    """sha256:HEX."""
    size: int
    claims: tuple[tuple[str, str], ...] = ()
    """What else the signature says of it, such as its order; notary's says no more than digest and size."""

    @staticmethod
    def of(reference: Reference, descriptor: Descriptor) -> SignTarget:
        """The target that signs NAME:TAG to be what a descriptor names."""
        return SignTarget(reference.name, reference.tag or "", descriptor.digest, descriptor.size)

    @property
    def reference(self) -> Reference:
        """NAME:TAG."""
        return Reference.parse(f"{self.name}:{self.tag}")


class AttestedImage(NamedTuple):
    """An image of an index, and what its workers state of it."""

    target: SignTarget
    """Its architecture tag."""
    statements: tuple[bytes, ...]
    """In-toto statements about it, in JSON."""


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
    partial: Mapping[str, tuple[Signature, ...]] = MappingProxyType({})
    """By tag, what some of several signers signed, where not all of them signed the same."""
    warnings: tuple[str, ...] = ()
    """What somebody should look into, though it keeps nobody from signing."""

    def digests(self, tag: str) -> list[str]:
        """What any signer signed a tag to be."""
        whole = [self.tags[tag]] if tag in self.tags else []
        return [one.digest for one in (*whole, *self.partial.get(tag, ()))]


def overwritten(
    reference: Reference, found: str | None, signing: SignedName | None
) -> TagOverwrittenError | None:
    """The error for a signed tag that now refers to something else; None if there is nothing to refuse.

    Whoever is about to build upon NAME:TAG, merge it, push over it or sign it asks this first: `found` is the
    digest that the tag refers to, None if it refers to nothing.
    """
    digests = signing.digests(str(reference.tag)) if signing else []
    signed = next((one for one in digests if found not in (None, one)), None)
    if signed is None:
        return None
    return TagOverwrittenError(
        f"{reference.familiar} refers to {found}, but {signed} is signed: it was overwritten",
        hint=f"restore it: farm pkg remote-tag {reference.with_digest(signed).familiar} "
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

    def ready(self, references: Iterable[Reference]) -> dict[str, SignedName]:
        """Make sure, before anything is published, that this machine can sign these tags.

        Returns:
            What is signed now, as `signed` reads it. Signatures that have expired are not among it, and no
            error: those are about to be made anew.

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

    def attest(self, images: Iterable[AttestedImage]) -> None:
        """Sign the images of an index and the statements about them, if this signer signs more than indexes.

        Raises:
            TrustError: as `sign`.
        """

    def signed(self, references: Iterable[Reference], *, to_sign: bool = False) -> dict[str, SignedName]:
        """What is signed now, by name: at least of these tags; a repository without signatures has no tags.

        Signatures that have expired are an error, unless they are about to be made anew.

        Raises:
            TrustError: the signatures cannot be read, which never means that there are none.
        """

    def describe(self, name: str) -> str:
        """Where the signatures of a repository are kept."""

    def command_line(self, target: SignTarget) -> str:
        """The line of shell with which a person would sign a target."""


def make_signer(settings: Settings, registry: Registry | None = None) -> Signer:
    """The signer of this farm: the one that the settings choose, or all of them as one.

    Args:
        settings: keys, servers and time limits.
        registry: the client whose logins the signers take too, and where cosign keeps signatures; it must not
            read from mirrors. None makes one when it is needed.
    """
    made = {name: _make(name, settings, registry) for name in signers_of(settings)}
    if len(made) == 1:
        return next(iter(made.values()))
    from farm.trust.all_signers import AllSigners  # noqa: PLC0415 - start-up time counts without signing, too

    return AllSigners(made)


def _make(name: str, settings: Settings, registry: Registry | None) -> Signer:
    if name == "cosign":
        from farm.trust.cosign.signer import CosignSigner  # noqa: PLC0415 - the same

        return CosignSigner(settings, registry)
    from farm.trust.notary.signer import NotarySigner  # noqa: PLC0415 - the same

    return NotarySigner(settings, registry.credentials if registry else None)


def signers_of(settings: Settings) -> tuple[str, ...]:
    """The names of the signers: the setting, else those that are configured, else notary."""
    if settings.signers:
        return settings.signers
    cosign = settings.cosign_key or settings.cosign_private_key or settings.cosign_public_key
    notary = settings.signing_key or settings.notary_server
    return tuple(name for name, is_set in (("cosign", cosign), ("notary", notary or not cosign)) if is_set)


def has_signing_key(settings: Settings) -> bool:
    """Whether this machine has a key of any signer."""
    return bool(settings.signing_key or settings.cosign_key or settings.cosign_private_key)
