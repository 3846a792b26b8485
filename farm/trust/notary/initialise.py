"""What an administrator does once for a GUN: create it, and allow a delegation key to sign for it.

The roles are TUF's: root lists the keys of all roles, targets the signed tags and the delegations. Publishers
need the key of a delegation only, so the root and targets keys stay with the administrator.
https://theupdateframework.github.io/specification/latest/#roles-and-pki
https://docs.docker.com/engine/security/trust/trust_delegation/
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import TrustError
from farm.system.locks import locked
from farm.trust.notary.admin_keys import (
    StoredKey,
    copy_keys_for,
    private_directory_of,
    root_keys,
    save_new_keys,
    stored_keys,
)
from farm.trust.notary.client import Notary, NotaryServer, open_client
from farm.trust.notary.delegation import generate_root_key
from farm.trust.notary.failures import CONFLICT
from farm.trust.notary.keys import certified_key_id
from farm.trust.notary.limits import TrustDeadline, until_true
from farm.trust.notary.pins import pin, prefix_of, read_pins
from farm.trust.notary.roots import read_certified, root_ids
from farm.trust.notary.verify import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from farm.settings import Secret

_KEY_ID = re.compile(r"\b[0-9a-f]{64}\b")


class InitialisationStep(StrEnum):
    """A step that is still to be taken for a GUN."""

    CREATE = "create"
    """Make its keys, and publish it with a snapshot key that the server manages."""
    ROTATE = "rotate"
    """Replace the snapshot key by one that the server manages."""
    DELEGATE = "delegate"
    """Allow the delegation key."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A GUN as the server has it: the ids of the keys of root, targets, snapshot and the delegation."""

    root: tuple[str, ...]
    targets: frozenset[str]
    snapshot: frozenset[str]
    delegated: frozenset[str]


def initialise(
    gun: str,
    certificate: Path,
    server: NotaryServer,
    *,
    trust_dir: Path,
    root_passphrase: Secret,
    role: str = RELEASES,
) -> tuple[InitialisationStep, ...]:
    """Make sure that a GUN exists and that a delegation key may sign for it; returns the steps taken.

    Each attempt takes the first step that is missing, until none is: a second call does nothing, and one
    after a kill completes what the first began. New keys are saved in `trust_dir` before anything is
    published that needs them; nothing there is ever changed or removed. Where no root key is pinned for the
    GUN, those in `trust_dir` count, and the one that certifies it is pinned for all names beside it.

    Args:
        gun: such as docker.io/linuxkit/foo.
        certificate: PEM file with the X.509 certificate of the delegation key.
        server: where to create the GUN.
        trust_dir: the administrator's keys (~/.docker/trust); root and targets keys are made if missing.
        root_passphrase: of the root key; new targets keys get the same one.
        role: the delegation.

    Raises:
        TrustError: the GUN exists, and its targets key is not in `trust_dir`, or the root key that the server
            shows is not pinned.
        TrustDeniedError: a passphrase is wrong or too short, or the login is refused.
        TrustUnavailableError: the server cannot be reached or does not answer.
    """
    deadline = TrustDeadline.after(server.timeout, f"initialising {gun}")
    passphrases = {name: [root_passphrase] for name in ("root", "targets", "snapshot")}
    delegate = certified_key_id(certificate, deadline)
    taken: list[InitialisationStep] = []

    def take_next_step() -> bool:
        pinned, own = read_pins(server.pins).ids(gun), root_keys(trust_dir)
        with open_client(gun, server, deadline) as reader:
            collection = read_collection(reader, role, pinned or own)
            step = next_step(gun, collection, stored_keys(trust_dir), delegate)
            if step is InitialisationStep.CREATE:
                own = _roots_to_create(reader, pinned, own, trust_dir, root_passphrase)
            notary = dataclasses.replace(reader, passphrases=passphrases)
            if step and _take(step, notary, own, role, certificate, trust_dir):
                taken.append(step)
        return step is None and _pinned(server.pins, gun, collection, pinned)

    private_directory_of(trust_dir)
    with locked(trust_dir / "farm.lock", timeout=deadline.left(), busy=deadline.missed()):
        until_true(take_next_step, f"{gun} could not be initialised on {server.url}")
    return tuple(taken)


def _pinned(pins: Path, gun: str, collection: Collection | None, pinned: Sequence[str]) -> bool:
    """Pin the root key that certifies a GUN for all names beside it, if none is pinned; returns True."""
    if collection and not pinned:
        pin(pins, prefix_of(gun), collection.root)
    return True


def _roots_to_create(
    notary: Notary, pinned: Sequence[str], own: Sequence[str], trust_dir: Path, passphrase: Secret
) -> tuple[str, ...]:
    """The administrator's root key that certifies a new GUN: a pinned one, else the first, else a new one."""
    usable = tuple(root for root in own if root in pinned) if pinned else tuple(own)
    if pinned and not usable:
        raise TrustError(
            f"{notary.gun}: the root key that {notary.server.pins} pins for it is not in {trust_dir}",
            hint="run this where it is, or pin another one: farm trust pin --root ID",
        )
    return usable[:1] or (generate_root_key(trust_dir, passphrase, notary.deadline),)


def next_step(
    gun: str, collection: Collection | None, keys: Iterable[StoredKey], delegate: str
) -> InitialisationStep | None:
    """The next step for a GUN, whose collection is None when the server does not know it; None when done."""
    if collection is None:
        return InitialisationStep.CREATE
    local = {key.id for key in keys}
    if not collection.targets & local:
        allowed = " (its signing key is already allowed)" if delegate in collection.delegated else ""
        targets_key = min(collection.targets)[:7]
        raise TrustError(
            f"{gun} was initialised with other keys than those here{allowed}",
            hint=f"run this where the targets key {targets_key} is, or name its trust directory",
        )
    if collection.snapshot & local:
        return InitialisationStep.ROTATE
    return None if delegate in collection.delegated else InitialisationStep.DELEGATE


def read_collection(notary: Notary, role: str, roots: Sequence[str]) -> Collection | None:
    """What the server has of a GUN; None when it does not know the GUN. The trust directory must be empty.

    One of these root keys must certify it.

    The client prints no key ids of root, but it saves root.json, whose `signed.roles` has them:
    https://theupdateframework.github.io/specification/latest/#file-formats-root
    """
    output = read_certified(notary, "delegation", "list", notary.gun, ids=roots)
    if output is None:
        return None
    root = json.loads((notary.trust_dir / "tuf" / notary.gun / "metadata" / "root.json").read_text("utf-8"))
    roles = root["signed"]["roles"]
    targets, snapshot = (frozenset(roles[name]["keyids"]) for name in ("targets", "snapshot"))
    return Collection(root_ids(notary), targets, snapshot, delegated_keys(output, role))


def delegated_keys(output: str, role: str) -> frozenset[str]:
    """The key ids of a role in the table of `notary delegation list`: ROLE, PATHS, KEY IDS, THRESHOLD.

    https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/prettyprint.go
    """
    ids: set[str] = set()
    current = ""
    for line in output.splitlines():
        # Further keys of a role are in rows whose first column is empty.
        current = current if line[:1].isspace() or not line else line.split()[0]
        ids.update(_KEY_ID.findall(line) if current == role else ())
    return frozenset(ids)


def _take(
    step: InitialisationStep,
    notary: Notary,
    roots: Sequence[str],
    role: str,
    certificate: Path,
    trust_dir: Path,
) -> bool:
    """Take a step; False when another client published first."""
    copy_keys_for(notary.gun, roots, trust_dir, notary.trust_dir)
    if step is InitialisationStep.CREATE:
        notary.run("init", notary.gun)
        save_new_keys(notary.trust_dir, trust_dir)
    # This also publishes a new GUN. With a snapshot key on the server, publishers need no key but that of
    # their delegation.
    words = ["key", "rotate", notary.gun, "snapshot", "-r"]
    if step is InitialisationStep.DELEGATE:
        words = ["delegation", "add", "-p", notary.gun, role, str(certificate.absolute()), "--all-paths"]
    return notary.run(*words, expected=CONFLICT) is not None
