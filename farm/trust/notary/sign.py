"""Signing tags with a delegation key, so that nothing is lost and nothing is half done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.trust.notary.client import Notary, NotaryServer, fresh
from farm.trust.notary.conflict_retry import until_true
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.failures import is_conflict
from farm.trust.notary.keys import SigningKey, stage_key
from farm.trust.notary.verify import Signed, SignedTargets, known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.model import Descriptor, Reference
    from farm.registry.credentials import Login


@dataclass(frozen=True, slots=True)
class SignTarget:
    """A tag of a GUN (docker.io/linuxkit/foo), and what it names: size in bytes, sha256 in hex."""

    gun: str
    tag: str
    size: int
    sha256: str

    @staticmethod
    def of(reference: Reference, descriptor: Descriptor) -> SignTarget:
        """The target that signs NAME:TAG to be what a descriptor names."""
        return SignTarget(
            reference.name, reference.tag or "", descriptor.size, descriptor.digest.removeprefix("sha256:")
        )

    @property
    def digest(self) -> str:
        """sha256:HEX."""
        return f"sha256:{self.sha256}"

    def words(self, role: str) -> tuple[str, ...]:
        """The target as the client's `addhash` takes it."""
        return (self.gun, self.tag, str(self.size), "--sha256", self.sha256, "-r", role)


def sign(
    target: SignTarget,
    key: SigningKey,
    server: NotaryServer,
    *,
    timeout: float,
    login: Login | None = None,
    replace: bool = True,
) -> Signed | None:
    """Sign one tag; see `sign_all`.

    Returns:
        What the tag was signed to be before, where that was something else.
    """
    return sign_all([target], key, server, timeout=timeout, login=login, replace=replace).get(target.tag)


def sign_all(
    targets: list[SignTarget],
    key: SigningKey,
    server: NotaryServer,
    *,
    timeout: float,
    login: Login | None = None,
    replace: bool = True,
) -> dict[str, Signed]:
    """Sign tags of one GUN with one publication, and prove it by reading them back.

    What is signed already stays as it is, so a second call does nothing. Two callers at once lose
    nothing, but they get into each other's way: hold a lock for the GUN, one that holds across hosts.

    Args:
        targets: of one GUN, one or more.
        key: the delegation key that signs.
        server: where to publish.
        timeout: seconds for all of it.
        login: the registry account that notary's token service is asked with.
        replace: whether a tag that is signed to be something else may be signed anew.

    Returns:
        By tag: what was signed before and has been replaced.

    Raises:
        TrustDeniedError: the key or its passphrase is wrong, the key may not sign, the login is refused.
        TrustUnavailableError: the server is away or silent, or others kept publishing first.
        TrustError: the GUN is not initialised, or a tag is signed already and `replace` is False.
        ValueError: the targets are of several GUNs, or none.
    """
    (gun,) = {target.gun for target in targets}
    deadline = Deadline.after(timeout, f"signing {gun}")
    replaced: dict[str, Signed] = {}

    def attempt() -> bool:
        with fresh(gun, server, deadline, login) as notary:
            # Asked first, too, because notary initialises on its own a GUN that the server does not know.
            before = known(notary, key.role)
            missing = unsigned(targets, before)
            if not missing:
                return True
            replaced.update(_replaced(missing, before.signed, replace=replace))
            once = stage_key(key, notary.trust_dir, deadline)
            signer = dataclasses.replace(notary, passphrases={key.role: [once]})
            if not _published(signer, missing, before, key.role):
                return False
        # From an empty directory again: what everyone sees, not what the client believes.
        with fresh(gun, server, deadline, login) as notary:
            return not unsigned(targets, known(notary, key.role))

    until_true(attempt, f"what was published for {gun} did not stand on {server.url}")
    return replaced


def unsigned(targets: list[SignTarget], before: SignedTargets) -> list[SignTarget]:
    """Those targets that are not signed as they should be."""

    def stands(target: SignTarget) -> bool:
        found = before.signed.get(target.tag)
        return found is not None and (found.digest, found.size) == (target.digest, target.size)

    return [target for target in targets if not stands(target)]


def _replaced(missing: list[SignTarget], signed: Mapping[str, Signed], *, replace: bool) -> dict[str, Signed]:
    others = {target.tag: signed[target.tag] for target in missing if target.tag in signed}
    if others and not replace:
        tag, found = next(iter(others.items()))
        raise TrustError(f"{missing[0].gun}:{tag} is signed already, as {found.digest}")
    return others


def _published(notary: Notary, targets: list[SignTarget], before: SignedTargets, role: str) -> bool:
    """Stage all and publish once; whether the server took it, or another client came first."""
    if before.expired:
        # An expired role can only be published whole: its key holder vouches for it once more.
        notary.run("witness", notary.gun, role)
    *first, last = targets
    for target in first:
        notary.run("addhash", *target.words(role))
    outcome = notary.attempt("addhash", "-p", *last.words(role))
    if outcome.status != 0 and not is_conflict(outcome.output):
        raise notary.error(outcome)
    return outcome.status == 0
