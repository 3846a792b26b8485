"""Several signers as one: each signs, and a tag counts as signed only where all of them agree."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import combine
from farm.trust.signer import SignedName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from farm.model import Reference
    from farm.trust.signer import AttestedImage, Signature, Signer, SignTarget


@dataclass(frozen=True, slots=True)
class AllSigners:
    """The Signer that signs with all of these, in this order."""

    signers: Mapping[str, Signer]
    """By name."""

    def check_settings(self, names: Iterable[str], *, to_sign: bool) -> None:
        """Make sure that the settings name what each needs."""
        wanted = list(names)
        for signer in self.signers.values():
            signer.check_settings(wanted, to_sign=to_sign)

    def ready(self, references: Iterable[Reference]) -> dict[str, SignedName]:
        """Make sure that each can sign; returns what all of them signed."""
        return self._agreed(list(references), lambda one, wanted: one.ready(wanted))

    def check_key(self, names: Iterable[SignedName]) -> None:
        """Make sure that the key of each can sign."""
        wanted = list(names)
        for signer in self.signers.values():
            signer.check_key(wanted)

    def sign(self, targets: Iterable[SignTarget]) -> None:
        """Sign with each, which reads its signatures back."""
        wanted = list(targets)
        for signer in self.signers.values():
            signer.sign(wanted)

    def attest(self, images: Iterable[AttestedImage]) -> None:
        """Let each sign the images and their statements."""
        wanted = list(images)
        for signer in self.signers.values():
            signer.attest(wanted)

    def signed(self, references: Iterable[Reference], *, to_sign: bool = False) -> dict[str, SignedName]:
        """What all of them signed as the same digest."""
        return self._agreed(list(references), lambda one, wanted: one.signed(wanted, to_sign=to_sign))

    def _agreed(
        self,
        wanted: list[Reference],
        ask: Callable[[Signer, list[Reference]], dict[str, SignedName]],
    ) -> dict[str, SignedName]:
        """What they say of the same digest; they are asked at the same time."""
        with ThreadPoolExecutor(len(self.signers)) as pool:
            asked = {name: pool.submit(ask, one, wanted) for name, one in self.signers.items()}
            found = {name: answer.result() for name, answer in asked.items()}
        names = dict.fromkeys(reference.name for reference in wanted)
        return {name: agreed({signer: answer[name] for signer, answer in found.items()}) for name in names}

    def describe(self, name: str) -> str:
        """Where each keeps its signatures."""
        return ", ".join(one.describe(name) for one in self.signers.values())

    def command_line(self, target: SignTarget) -> str:
        """The commands of all of them."""
        return " && ".join(one.command_line(target) for one in self.signers.values())


def agreed(found: Mapping[str, SignedName]) -> SignedName:
    """What all signers signed of one repository; `found` has the answer of each, by the signer's name."""
    answers = list(found.values())
    tags = dict.fromkeys(tag for answer in answers for tag in answer.tags)
    by_tag = {tag: {name: one.tags[tag] for name, one in found.items() if tag in one.tags} for tag in tags}
    complete = {tag for tag, one in by_tag.items() if len(one) == len(found) and len(_digests(one)) == 1}
    refusals = [one.refusal for one in answers if one.refusal]
    return SignedName(
        name=answers[0].name,
        tags={tag: next(iter(by_tag[tag].values())) for tag in by_tag if tag in complete},
        refusal=combine(refusals) if refusals else None,
        allowed=tuple(key for one in answers for key in one.allowed),
        partial={tag: tuple(one.values()) for tag, one in by_tag.items() if tag not in complete},
        warnings=tuple(_disagreements(answers[0].name, by_tag)),
    )


def _digests(signatures: Mapping[str, Signature]) -> set[str]:
    return {one.digest for one in signatures.values()}


def _disagreements(name: str, by_tag: Mapping[str, Mapping[str, Signature]]) -> Iterator[str]:
    for tag, signatures in by_tag.items():
        if len(_digests(signatures)) > 1:
            said = ", ".join(f"{signer} signed {one.digest}" for signer, one in signatures.items())
            yield f"{name}:{tag} does not count as signed: {said}"
