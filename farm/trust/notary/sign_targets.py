"""Signing tags with a delegation key: all tags of a GUN in one publication, read back afterwards."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from farm.trust.notary.client import Notary, NotaryServer, open_client
from farm.trust.notary.failures import CONFLICT
from farm.trust.notary.keys import SigningKey, StagedKey, give_key, stage_key
from farm.trust.notary.limits import TrustDeadline, until_true
from farm.trust.notary.verify import SignedTargets, read_initialised
from farm.trust.signer import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.trust.signer import SignTarget


def sign_targets(targets: Sequence[SignTarget], key: SigningKey, server: NotaryServer) -> None:
    """Sign tags of one GUN with one publication, and read them back.

    What is signed already stays as it is, so a second call does nothing. Concurrent callers lose nothing but
    time, because all but one of them have to try again: hold a lock for the GUN across all hosts.
    """
    (gun,) = {target.name for target in targets}
    deadline = TrustDeadline.after(server.timeout, f"signing {gun}")

    def sign() -> bool:
        with open_client(gun, server, deadline) as notary, ThreadPoolExecutor(1) as pool:
            # Both take about as long: to copy the key, and to read what is signed.
            staging = pool.submit(stage_key, key, notary.trust_dir, deadline)
            # This also fails for an unknown GUN, which the client would silently initialise when publishing.
            before = read_initialised(notary, key.role)
            missing = unsigned(targets, before)
            if not missing:
                return True
            if not _publish(notary, missing, key.role, staging.result(), expired=before.expired is not None):
                return False
        # Another empty trust directory: this one holds what the client published, not what the server serves.
        with open_client(gun, server, deadline) as notary:
            return not unsigned(targets, read_initialised(notary, key.role))

    until_true(sign, f"{server.url} does not show what was signed for {gun}")


def unsigned(targets: Sequence[SignTarget], before: SignedTargets) -> list[SignTarget]:
    """The targets that are not signed, or signed with another digest or size."""
    signed = before.signed
    return [target for target in targets if signed.get(target.tag) != Signature(target.digest, target.size)]


def addhash_arguments(target: SignTarget, role: str, *, publish: bool = False) -> list[str]:
    """The arguments that stage a target in the client's changelist, and publish all that is staged.

    `notary addhash [-p] GUN TAG SIZE --sha256 HEX -r ROLE`, see
    https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/tuf.go
    """
    words = [target.name, target.tag, str(target.size), "--sha256", target.digest.removeprefix("sha256:")]
    return ["addhash", *(["-p"] if publish else []), *words, "-r", role]


def _publish(
    reader: Notary, targets: Sequence[SignTarget], role: str, key: StagedKey, *, expired: bool
) -> bool:
    """Stage all targets and publish once; False when another client published first."""
    give_key(key, reader.trust_dir)
    notary = dataclasses.replace(reader, passphrases={role: [key.passphrase]})
    if expired:
        # The server rejects an expired role. `witness` signs all of it again, with a new expiry date:
        # https://github.com/theupdateframework/notary/blob/v0.7.0/docs/advanced_usage.md
        notary.run("witness", notary.gun, role)
    *first, last = targets
    for target in first:
        notary.run(*addhash_arguments(target, role))
    return notary.run(*addhash_arguments(last, role, publish=True), expected=CONFLICT) is not None
