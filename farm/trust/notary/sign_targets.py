"""Signing tags with a delegation key: all tags of a GUN in one publication, read back afterwards."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from farm.trust.notary.client import Notary, NotaryServer, open_client
from farm.trust.notary.conflict_retry import until_true
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.failures import is_conflict
from farm.trust.notary.keys import SigningKey, stage_key
from farm.trust.notary.verify import SignedTargets, read_initialised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from farm.registry.credentials import Login
    from farm.trust.signer import SignTarget

    OpenClient = Callable[[], AbstractContextManager[Notary]]


def sign_targets(
    targets: Sequence[SignTarget],
    key: SigningKey,
    server: NotaryServer,
    *,
    timeout: float,
    login: Login | None = None,
) -> None:
    """Sign tags of one GUN with one publication, and read them back.

    What is signed already stays as it is, so a second call does nothing. Concurrent callers lose nothing but
    time, because all but one of them have to try again: hold a lock for the GUN across all hosts.

    Args:
        targets: of one GUN, one or more.
        key: the delegation key that signs.
        server: where to publish.
        timeout: seconds for all of it.
        login: the registry account, for notary's token service.

    Raises:
        TrustDeniedError: the key or its passphrase is wrong, the key may not sign, the login is refused.
        TrustUnavailableError: the server cannot be reached or does not answer, or other clients kept
            publishing first.
        TrustError: the GUN is not initialised.
        ValueError: the targets are of several GUNs, or there are none.
    """
    (gun,) = {target.name for target in targets}
    deadline = TrustDeadline.after(timeout, f"signing {gun}")
    until_true(
        lambda: _sign_once(targets, key, lambda: open_client(gun, server, deadline, login)),
        f"{server.url} does not show what was signed for {gun}",
    )


def _sign_once(targets: Sequence[SignTarget], key: SigningKey, open_new: OpenClient) -> bool:
    """Sign what is not signed yet; whether all targets are signed on the server now."""
    with open_new() as notary:
        # This read also fails for an unknown GUN, which the client would silently initialise when publishing.
        before = read_initialised(notary, key.role)
        missing = unsigned(targets, before)
        if not missing:
            return True
        passphrase = stage_key(key, notary.trust_dir, notary.deadline)
        with_key = dataclasses.replace(notary, passphrases={key.role: [passphrase]})
        if not _publish(with_key, missing, before, key.role):
            return False
    # Another empty trust directory: this one holds what the client published, not what the server serves.
    with open_new() as notary:
        return not unsigned(targets, read_initialised(notary, key.role))


def unsigned(targets: Sequence[SignTarget], before: SignedTargets) -> list[SignTarget]:
    """The targets that are not signed, or signed with another digest or size."""

    def is_signed(target: SignTarget) -> bool:
        signature = before.signed.get(target.tag)
        return signature is not None and (signature.digest, signature.size) == (target.digest, target.size)

    return [target for target in targets if not is_signed(target)]


def addhash_arguments(target: SignTarget, role: str, *, publish: bool = False) -> list[str]:
    """The arguments that stage a target in the client's changelist, and publish all that is staged.

    `notary addhash [-p] GUN TAG SIZE --sha256 HEX -r ROLE`, see
    https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/tuf.go
    """
    words = [target.name, target.tag, str(target.size), "--sha256", target.digest.removeprefix("sha256:")]
    return ["addhash", *(["-p"] if publish else []), *words, "-r", role]


def _publish(notary: Notary, targets: Sequence[SignTarget], before: SignedTargets, role: str) -> bool:
    """Stage all targets and publish once; False when another client published first."""
    if before.expired:
        # The server rejects an expired role. `witness` signs all of it again, with a new expiry date:
        # https://github.com/theupdateframework/notary/blob/v0.7.0/docs/advanced_usage.md
        notary.run("witness", notary.gun, role)
    *first, last = targets
    for target in first:
        notary.run(*addhash_arguments(target, role))
    result = notary.attempt(*addhash_arguments(last, role, publish=True))
    if result.status != 0 and not is_conflict(result.output):
        raise notary.error(result)
    return result.status == 0
