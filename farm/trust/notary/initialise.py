"""The administrator's act: a GUN comes to exist, and a delegation key is allowed to sign for it."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farm.errors import TrustDeniedError, TrustError
from farm.system.files import write_once
from farm.system.private_directories import make_private
from farm.trust.notary.client import Notary, NotaryServer, fresh
from farm.trust.notary.conflict_retry import until_true
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.directory import locked
from farm.trust.notary.failures import is_conflict, is_unknown
from farm.trust.notary.keys import certified_key_id
from farm.trust.notary.verify import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.registry.credentials import Login
    from farm.settings import Secret

_KEY_ID = re.compile(r"\b[0-9a-f]{64}\b")
_HEADER = re.compile(r"^(role|gun): (\S+)$", re.MULTILINE)


class Step(StrEnum):
    """What is still to be done for a GUN."""

    CREATE = "create"
    """Make its keys, and publish it with a snapshot key that the server manages."""
    ROTATE = "rotate"
    """Hand the snapshot key over to the server."""
    DELEGATE = "delegate"
    """Allow the delegation key."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A private key in the administrator's trust directory: its id, role, GUN (None for root), and file."""

    id: str
    role: str
    gun: str | None
    path: Path


@dataclass(frozen=True, slots=True)
class Collection:
    """A GUN as the server has it: the ids of the keys that speak for it."""

    targets: frozenset[str]
    snapshot: frozenset[str]
    delegated: frozenset[str]


def init(
    gun: str,
    certificate: Path,
    server: NotaryServer,
    *,
    trust_dir: Path,
    root_passphrase: Secret,
    repository_passphrase: Secret | None = None,
    role: str = RELEASES,
    login: Login | None = None,
    timeout: float,
) -> tuple[Step, ...]:
    """Make sure that a GUN exists and that a delegation key may sign for it.

    The first difference between what is and what should be is removed, until there is none: a second
    call does nothing, and one after a kill goes on where the first ended. New keys are in `trust_dir`
    before anything is published that needs them; nothing there is ever changed or removed.

    Args:
        gun: such as docker.io/linuxkit/foo.
        certificate: PEM file with the X.509 certificate of the delegation key.
        server: where the GUN is to be.
        trust_dir: the administrator's keys as docker and notary keep them (~/.docker/trust): the root
            key is taken from here or made here, the GUN's targets key is made here.
        root_passphrase: of the root key; new targets keys get the same.
        repository_passphrase: of targets keys, where docker made them with another.
        role: the delegation.
        login: the registry account that notary's token service is asked with.
        timeout: seconds for all of it.

    Returns:
        The steps that were taken; none when all was there.

    Raises:
        TrustError: the GUN exists, and its targets key is not in `trust_dir`.
        TrustDeniedError: a passphrase is wrong or too short, or the login is refused.
        TrustUnavailableError: the server is away or silent.
    """
    deadline = Deadline.after(timeout, f"initialising {gun}")
    key = certified_key_id(certificate, deadline)
    passphrases = [root_passphrase, *([repository_passphrase] if repository_passphrase else [])]
    answers = {"root": [root_passphrase], "targets": passphrases, "snapshot": passphrases}
    taken: list[Step] = []

    def attempt() -> bool:
        """Take one step in a fresh directory; True when there was none to take."""
        with fresh(gun, server, deadline, login) as reader:
            notary = dataclasses.replace(reader, passphrases=answers)
            known = look(notary, role)
            step = next_step(gun, known, stored_keys(trust_dir), key)
            if step and _took(step, notary, trust_dir, certificate, role):
                taken.append(step)
            return step is None

    _private(trust_dir)
    with locked(trust_dir / "farm.lock", deadline):
        until_true(attempt, f"{gun} could not be initialised on {server.url}")
    return tuple(taken)


def next_step(gun: str, known: Collection | None, keys: Iterable[StoredKey], delegate: str) -> Step | None:
    """What to do next for a GUN; None when nothing is left.

    Args:
        gun: its name.
        known: what the server has; None when it does not know the GUN.
        keys: the administrator's.
        delegate: id of the key that shall be allowed to sign.

    Raises:
        TrustError: somebody else initialised it.
    """
    if known is None:
        return Step.CREATE
    ours = {key.id for key in keys}
    if not known.targets & ours:
        able = " (its signing key is allowed already)" if delegate in known.delegated else ""
        raise TrustError(
            f"{gun} was initialised with other keys than those here{able}",
            hint=f"run this where the targets key {min(known.targets)[:7]} is, or name its trust directory",
        )
    if known.snapshot & ours:
        return Step.ROTATE
    return None if delegate in known.delegated else Step.DELEGATE


def look(notary: Notary, role: str) -> Collection | None:
    """What the server has of a GUN; None when it does not know it. The trust directory must be a fresh one.

    Raises:
        TrustError: as `farm.trust.notary.verify.signed_digests`.
    """
    outcome = notary.attempt("delegation", "list", notary.gun)
    if outcome.status != 0 and is_unknown(outcome.output):
        return None
    if outcome.status != 0:
        raise notary.error(outcome)
    root = json.loads((notary.trust_dir / "tuf" / notary.gun / "metadata" / "root.json").read_text())
    return Collection(_ids(root, "targets"), _ids(root, "snapshot"), delegated_keys(outcome.output, role))


def delegated_keys(output: str, role: str) -> frozenset[str]:
    """The key ids of a role in the table that `notary delegation list` prints."""
    ids: set[str] = set()
    current = ""
    for line in output.splitlines():
        # Further keys of a role stand below its first, with nothing in the first column.
        current = current if line[:1].isspace() or not line else line.split()[0]
        ids.update(_KEY_ID.findall(line) if current == role else ())
    return frozenset(ids)


def stored_keys(trust_dir: Path) -> list[StoredKey]:
    """The private keys of a trust directory, ordered by id."""
    keys = []
    for path in sorted((trust_dir / "private").glob("*.key")):
        headers = dict(_HEADER.findall(path.read_text()))
        keys.append(StoredKey(path.stem, headers.get("role", ""), headers.get("gun"), path))
    return keys


def _ids(root: dict[str, Any], role: str) -> frozenset[str]:
    return frozenset(root["signed"]["roles"][role]["keyids"])


def _took(step: Step, notary: Notary, trust_dir: Path, certificate: Path, role: str) -> bool:
    """Take a step; False when another client came first."""
    _lend(notary.gun, trust_dir, notary.trust_dir)
    if step is Step.DELEGATE:
        words = ["delegation", "add", "-p", notary.gun, role, str(certificate.absolute()), "--all-paths"]
    else:
        words = ["key", "rotate", notary.gun, "snapshot", "-r"]
    if step is Step.CREATE:
        notary.run("init", notary.gun)
        _keep(notary.trust_dir, trust_dir)
    outcome = notary.attempt(*words)
    if outcome.status != 0 and not is_conflict(outcome.output):
        raise notary.error(outcome)
    return outcome.status == 0


def _lend(gun: str, trust_dir: Path, work: Path) -> None:
    """Copy what a step needs: the GUN's own keys, and one root key, the same each time."""
    private = _private(work)
    keys = stored_keys(trust_dir)
    roots = [key for key in keys if key.role == "root"][:1]
    for key in roots + [key for key in keys if key.gun == gun]:
        write_once(private / key.path.name, key.path.read_text())


def _keep(work: Path, trust_dir: Path) -> None:
    """Save new keys, but for that of snapshot: the server replaces it before anyone sees it."""
    for key in stored_keys(work):
        if key.role in {"root", "targets"}:
            write_once(_private(trust_dir) / key.path.name, key.path.read_text())


def _private(trust_dir: Path) -> Path:
    private = trust_dir / "private"
    try:
        make_private(private)
    except OSError as error:
        raise TrustDeniedError(f"{private}: cannot be made: {error.strerror}") from error
    return private
