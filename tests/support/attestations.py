"""Workers with keys, and what they state about images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from farm.attestation.envelope import seal
from farm.attestation.statement import Provenance, to_statement
from farm.attestation.worker_key import WorkerPrivateKey
from tests.support.values import HASH, digest

if TYPE_CHECKING:
    from farm.model import Reference

PROVENANCE = Provenance(
    image=digest("image"),
    name="localhost:1/linuxkit/foo",
    tag=HASH,
    arch="arm64",
    tree=HASH,
    recipe=digest("recipe"),
    order=digest("order"),
    run="r42-k3f9",
    parameters={"dockerfile": "Dockerfile", "build-args": {"A": "1"}, "network": False},
    materials=(("git+https://example.org/foo", f"gitCommit:{HASH}"), ("pkg:docker/base", digest("base"))),
    builder="arm64@rack3",
    started=1.7e9,
    finished=1.7e9 + 60.25,
)


def new_key() -> WorkerPrivateKey:
    """A key that no policy knows."""
    return WorkerPrivateKey(ec.generate_private_key(ec.SECP256R1()))


@dataclass(frozen=True)
class Worker:
    """A worker as the policy names it, with its key."""

    name: str = "arm64@rack3"
    arches: tuple[str, ...] = ("arm64",)
    until: float | None = None
    key: WorkerPrivateKey = field(default_factory=new_key)

    def states(self, **facts: Any) -> bytes:
        """An envelope with a statement of this worker, by default `PROVENANCE`."""
        said = replace(PROVENANCE, builder=self.name, fingerprint=self.key.fingerprint)
        return seal(to_statement(replace(said, **facts)), self.key)

    def attests(self, repository: Reference, pushed: str, /, **facts: Any) -> bytes:
        """An honest envelope about the image of a repository with this digest."""
        return self.states(**{"name": repository.name, "image": pushed, "arch": self.arches[0], **facts})


def keys_of(*workers: Worker) -> dict[str, Worker]:
    """The public keys as the check takes them."""
    return {worker.key.public: worker for worker in workers}
