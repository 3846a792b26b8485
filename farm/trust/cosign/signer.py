"""cosign as a Signer: one key pair, and signatures in each image's own repository."""

from __future__ import annotations

import base64
import binascii
import shlex
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.model import Reference
from farm.registry.client import open_registry
from farm.system.at_once import at_once
from farm.system.deadline import Deadline
from farm.trust.cosign.attachments import (
    SIGNATURE,
    SIGNATURES,
    Attachment,
    Attachments,
    attach,
    contents_of,
    read_attachments,
)
from farm.trust.cosign.configure import key_pair, public_key, require_key
from farm.trust.cosign.payload import payload_of, says
from farm.trust.signer import Signature, SignedName, SignTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.trust.cosign.keys import PublicKey
    from farm.trust.signer import AttestedImage


@dataclass(frozen=True, slots=True)
class CosignSigner:
    """The Signer that signs with a cosign key: each signature is a payload beside the image that it names."""

    settings: Settings
    registry: Registry | None = None
    """None makes one when it is needed."""

    def check_settings(self, names: Iterable[str], *, to_sign: bool) -> None:  # noqa: ARG002 - one key signs everywhere
        """Make sure that a key is set."""
        require_key(self.settings, to_sign=to_sign)

    def ready(self, references: Iterable[Reference]) -> dict[str, SignedName]:
        """Make sure that the key opens; who may sign is decided by the policy of those who verify."""
        self.check_key(())
        return self.signed(references)

    def check_key(self, names: Iterable[SignedName]) -> None:  # noqa: ARG002 - the same
        """Make sure that the key opens, and is the one with which its signatures are verified."""
        key_pair(self.settings)

    def sign(self, targets: Iterable[SignTarget]) -> None:
        """Sign tags; all signatures of one image are written at once."""
        private, public = key_pair(self.settings)
        by_image: dict[Reference, list[SignTarget]] = defaultdict(list)
        for target in targets:
            by_image[Reference.parse(f"{target.name}@{target.digest}")].append(target)

        def entry(target: SignTarget) -> Attachment:
            payload = payload_of(target)
            return Attachment(payload, {SIGNATURE: base64.b64encode(private.sign(payload)).decode()})

        with self._client() as registry:

            def sign(image: Reference) -> None:
                def missing(found: Attachments) -> list[Attachment]:
                    payloads = _verified(registry, found, public)
                    unsigned = (one for one in by_image[image] if not any(says(it, one) for it in payloads))
                    return [entry(target) for target in unsigned]

                attach(registry, image, SIGNATURES, missing)

            at_once(sign, by_image)

    def attest(self, images: Iterable[AttestedImage]) -> None:
        """Sign each image under its architecture tag, and what its workers state of it."""
        from farm.trust.cosign.attest import attest  # noqa: PLC0415 - 20 ms that only a publisher needs

        attested = list(images)
        self.sign(one.target for one in attested)
        private, _ = key_pair(self.settings)
        pairs = [(one.target, statement) for one in attested for statement in one.statements]

        with self._client() as registry:

            def attach_statement(pair: tuple[SignTarget, bytes]) -> None:
                target, statement = pair
                attest(registry, Reference.parse(target.name), target.digest, statement, private)

            at_once(attach_statement, pairs)

    def signed(self, references: Iterable[Reference], *, to_sign: bool = False) -> dict[str, SignedName]:  # noqa: ARG002 - they do not expire
        """What is signed now, of what each tag refers to now."""
        wanted, public = list(dict.fromkeys(references)), public_key(self.settings)
        with self._client() as registry:
            answers = at_once(lambda one: signature_under(registry, one, public), wanted)
        tags: dict[str, dict[str, Signature]] = {reference.name: {} for reference in wanted}
        refusals: dict[str, TrustError] = {}
        for reference, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, TrustError):
                refusals[reference.name] = answer
            elif answer:
                tags[reference.name][reference.tag or ""] = answer
        return {name: SignedName(name, found, refusals.get(name)) for name, found in tags.items()}

    def describe(self, name: str) -> str:
        """The tags beside the images."""
        return f"{name}:sha256-*.{SIGNATURES.suffix}"

    def command_line(self, target: SignTarget) -> str:
        """The cosign command that makes the same signature."""
        from farm.trust.cosign.program import WITHOUT_LOG  # noqa: PLC0415 - who verifies runs no program

        key = str(self.settings.cosign_key or "env://COSIGN_PRIVATE_KEY")
        named = f"{target.name}:{target.tag}"
        claims = [
            word for name, text in (*target.claims, ("tag", target.tag)) for word in ("-a", f"{name}={text}")
        ]
        options = ["--key", key, *WITHOUT_LOG, "--sign-container-identity", named, *claims]
        return shlex.join(["cosign", "sign", *options, f"{target.name}@{target.digest}"])

    @contextmanager
    def _client(self) -> Iterator[Registry]:
        deadline = Deadline.after(self.settings.trust_timeout)
        if self.registry is not None:
            yield self.registry.within(deadline)
        else:
            with open_registry(self.settings) as registry:
                yield registry.within(deadline)


def signature_under(
    registry: Registry, reference: Reference, public: PublicKey
) -> Signature | TrustError | None:
    """What a tag is signed to be; an error, if nobody can sign it; None without a signature."""
    found = registry.head(reference)
    if found is None:
        return None
    target = SignTarget.of(reference, found)
    try:
        attached = read_attachments(registry, reference.with_digest(found.digest), SIGNATURES)
    except TrustError as error:
        return error
    is_signed = any(says(payload, target) for payload in _verified(registry, attached, public))
    return Signature(target.digest, target.size) if is_signed else None


def _verified(registry: Registry, found: Attachments, public: PublicKey) -> list[bytes]:
    """The payloads that the key has signed."""
    return [
        one.content for one in contents_of(registry, found) if public.verifies(_decoded(one), one.content)
    ]


def _decoded(entry: Attachment) -> bytes:
    try:
        return base64.b64decode(entry.annotations.get(SIGNATURE, ""), validate=True)
    except binascii.Error:
        return b""
