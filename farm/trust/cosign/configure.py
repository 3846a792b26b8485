"""The keys that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import TrustDeniedError
from farm.trust.cosign.keys import PublicKey

if TYPE_CHECKING:
    from farm.settings import Settings
    from farm.trust.cosign.keys import PrivateKey


def key_pair(settings: Settings) -> tuple[PrivateKey, PublicKey]:
    """The key with which this publisher signs, and the one with which its signatures are verified.

    Raises:
        TrustDeniedError: one is missing, cannot be opened, or does not belong to the other.
    """
    private, public = private_key(settings), public_key(settings)
    if private.public != public:
        raise TrustDeniedError(
            f"{_public_file(settings)}: does not belong to the cosign key of this machine",
            hint="cosign-public-key must be the public half of cosign-key",
        )
    return private, public


def private_key(settings: Settings) -> PrivateKey:
    """The key with which this publisher signs; runs the passphrase command if one is set."""
    # Who verifies starts faster without these.
    from farm.trust.cosign.key_files import open_key  # noqa: PLC0415
    from farm.trust.cosign.program import ProgramKey  # noqa: PLC0415
    from farm.trust.passphrases import passphrase_of  # noqa: PLC0415

    key, given = settings.cosign_key, settings.cosign_private_key
    if key is None and given is None:
        raise TrustDeniedError(
            "no cosign key is set", hint="set cosign-key, or publish without signatures: --no-sign"
        )
    passphrase = passphrase_of(settings, settings.cosign_password)
    if isinstance(key, Path):
        return open_key(_read(key).decode(errors="replace"), passphrase, str(key))
    if key is not None:
        return ProgramKey(key, passphrase, settings.trust_timeout)
    return open_key(given.reveal() if given else "", passphrase, "cosign-private-key")


def public_key(settings: Settings) -> PublicKey:
    """The key with which signatures are verified: `cosign-public-key`, else that of the private key."""
    if path := _public_file(settings):
        return PublicKey.parse(_read(path), str(path))
    if settings.cosign_key is None and settings.cosign_private_key is None:
        raise TrustDeniedError("no cosign public key is set", hint="set cosign-public-key")
    return private_key(settings).public


def _public_file(settings: Settings) -> Path | None:
    """The file of the public key; the one beside cosign.key needs no passphrase, as cosign.key does."""
    beside = settings.cosign_key.with_suffix(".pub") if isinstance(settings.cosign_key, Path) else None
    return settings.cosign_public_key or (beside if beside and beside.is_file() else None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrustDeniedError(f"{path}: the cosign key cannot be read: {error.strerror}") from error


def require_key(settings: Settings, *, to_sign: bool) -> None:
    """Make sure that a public key is set, and `to_sign`, a private one; nothing is opened.

    Raises:
        TrustDeniedError: one is missing.
    """
    has_private = settings.cosign_key is not None or settings.cosign_private_key is not None
    if to_sign and not has_private:
        raise TrustDeniedError(
            "no cosign key is set", hint="farm trust key --cosign DIRECTORY makes one; or add --no-sign"
        )
    if not has_private and settings.cosign_public_key is None:
        raise TrustDeniedError("no cosign public key is set", hint="set cosign-public-key")
