"""Public and private keys, and what they sign: as cosign does, over SHA-256 in every case but Ed25519.

https://github.com/sigstore/cosign/blob/v2.5.0/pkg/cosign/keys.go (LoadPrivateKey)
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from farm.errors import TrustDeniedError

_ECDSA = ec.ECDSA(SHA256())


class PublicKey(NamedTuple):
    """What verifies signatures."""

    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

    @staticmethod
    def parse(pem: bytes, source: str) -> PublicKey:
        """Read a key in PEM; TrustDeniedError, which names the source, if it is none of a known kind."""
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
            return PublicKey(key)
        raise TrustDeniedError(f"{source}: contains no public key in PEM that is ECDSA, RSA or Ed25519")

    @property
    def pem(self) -> str:
        """The key as in cosign.pub."""
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the private half of this key signed the message."""
        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(signature, message, _ECDSA)
            elif isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(signature, message, padding.PKCS1v15(), SHA256())
            else:
                self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class PrivateKey(Protocol):
    """What signs: a key in memory, or one that the cosign program reaches."""

    @property
    def public(self) -> PublicKey:
        """Its public half."""

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""


class KeyInMemory(NamedTuple):
    """A private key that was read from a file or a variable."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(message, _ECDSA)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), SHA256())
        return self.key.sign(message)
