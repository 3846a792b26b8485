"""What Redis holds in place of an order is refused, in bounded memory, and nothing of it is done.

The attacker may write Redis; here nobody else uses it. Some of the orders are signed by a maintainer.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import FarmError, NotUnderstoodError
from farm.model import Job, PackageWork, Reference, digest_of
from farm.model.order import MAX_ORDER, MAX_PART, MAX_SIGNATURE, make_order
from farm.model.run import Run, canonical
from farm.settings import Secret, Settings
from farm.state.run_handles import RunHandle
from farm.trust import ssh_signatures
from tasks.orders import read_ordered_work
from tasks.worker_context import SharedFlags, WorkerContext
from tests.acceptance.conftest import new_database
from tests.support.values import HASH, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.lab import Lab

DEEP = b"[" * 100_000


@dataclass
class Stored:
    """A run's order as Redis holds it, and a worker that reads it."""

    context: WorkerContext
    lab: Lab
    run: str

    def __post_init__(self) -> None:
        named = Reference.parse(f"{self.lab.registry}/linuxkit/foo:{HASH}")
        job = Job(self.run, "p", named, "amd64", HASH, HASH, "{{.Hash}}", digest("context"))
        self.work = PackageWork("p", named, ("amd64",), (job,), tree=HASH)
        order, parts = make_order(Run(self.run, "me", time.time(), (self.work,)), "nonce")
        self.fields: dict[str, Any] = json.loads(order.to_bytes())
        self.part = parts["p"]
        self.store(self.document(), self.part)

    def document(self, **changes: Any) -> bytes:
        return canonical({**self.fields, **changes})

    def sign(self, document: bytes) -> str:
        return ssh_signatures.sign(document, self.lab.identity.order_key, timeout=30)

    def store(self, document: bytes, part: bytes, signature: bytes | None = None) -> None:
        """Store an order that a maintainer signed, unless its signature is given."""
        key = RunHandle(self.context.store, self.run).key
        signed = self.sign(document).encode() if signature is None else signature
        self.context.store.binary.delete(key("order"), key("works"))
        self.context.store.binary.hset(key("order"), mapping={"document": document, "signature": signed})
        self.context.store.binary.hset(key("works"), mapping={"p": part})

    def read(self) -> PackageWork:
        """What a worker reads."""
        handle = RunHandle(self.context.store, self.run).package("p")
        return read_ordered_work(self.context, handle).work


@pytest.fixture(scope="module")
def context(lab: Lab) -> Iterator[WorkerContext]:
    settings = Settings(broker=Secret(new_database(lab)), policy=lab.identity.policy)
    context = WorkerContext(settings, "worker", SharedFlags())
    yield context
    context.store.close()


@pytest.fixture
def stored(context: WorkerContext, lab: Lab) -> Stored:
    return Stored(context, lab, f"r1-{secrets.token_hex(4)}")


SIGNED: dict[str, Callable[[Stored], tuple[bytes, bytes]]] = {
    "another run's": lambda one: (one.document(run="r2-abcd"), one.part),
    "a path as its run": lambda one: (one.document(run="../*"), one.part),
    "text as its time": lambda one: (one.document(created="now"), one.part),
    "an endless time": lambda one: (
        one.document(created=0).replace(b'"created":0', b'"created":1e999'),
        one.part,
    ),
    "no number as its time": lambda one: (one.document(created=0).replace(b":0,", b":NaN,"), one.part),
    "a key twice": lambda one: (one.document().replace(b"{", b'{"run":"r2",', 1), one.part),
    "an unknown field": lambda one: (one.document(more=1), one.part),
    "a list as its parts": lambda one: (one.document(parts=[]), one.part),
    "no digest of its part": lambda one: (one.document(parts={"p": "sha256:ab"}), one.part),
    "no order": lambda one: (b"null", one.part),
    "100,000 deep": lambda one: (DEEP, one.part),
    "a part that is 100,000 deep": lambda one: (one.document(parts={"p": digest_of(DEEP)}), DEEP),
    "a part of another package": lambda one: _with_part(one, package="other"),
    "a part that is no object": lambda one: (one.document(parts={"p": digest_of(b"3")}), b"3"),
    "a part without its package": lambda one: (one.document(parts={"other": digest_of(one.part)}), one.part),
    "a part with jobs of text": lambda one: _with_part(one, jobs="x"),
}


def _with_part(one: Stored, **changes: Any) -> tuple[bytes, bytes]:
    part = canonical({**json.loads(one.part), **changes})
    return one.document(parts={"p": digest_of(part)}), part


def test_an_honest_order_is_read(stored: Stored) -> None:
    assert stored.read() == stored.work


@pytest.mark.parametrize("form", SIGNED)
def test_an_order_of_another_form_is_refused_even_if_it_is_signed(stored: Stored, form: str) -> None:
    stored.store(*SIGNED[form](stored))
    with pytest.raises(FarmError) as refused:
        stored.read()
    assert not isinstance(refused.value, NotUnderstoodError)


def test_an_order_of_a_newer_farm_that_nobody_signed_keeps_no_worker_from_working(stored: Stored) -> None:
    """Only a maintainer's signature lets a worker believe that it is too old."""
    stored.store(stored.document(version=99), stored.part, signature=stored.sign(stored.document()).encode())
    with pytest.raises(FarmError) as refused:
        stored.read()
    assert not isinstance(refused.value, NotUnderstoodError)


@pytest.mark.parametrize(
    ("part", "field", "most"),
    [("order", "document", MAX_ORDER), ("works", "p", MAX_PART), ("order", "signature", MAX_SIGNATURE)],
)
def test_a_byte_too_many_is_refused_before_it_is_fetched(
    stored: Stored, part: str, field: str, most: int
) -> None:
    key = RunHandle(stored.context.store, stored.run).key(part)
    stored.context.store.binary.hset(key, field, b" " * (most + 1))
    with pytest.raises(FarmError, match=f"has {most + 1} bytes"):
        stored.read()


@pytest.mark.parametrize("part", ["order", "works"])
def test_a_key_of_another_type_is_refused(stored: Stored, part: str) -> None:
    key = RunHandle(stored.context.store, stored.run).key(part)
    stored.context.store.binary.delete(key)
    stored.context.store.binary.set(key, b"x")
    with pytest.raises(FarmError):
        stored.read()


@pytest.mark.parametrize("run", ["*", "r1*", "..", "r1:order", "{x}", "r1\n", "", "r" * 10_000])
def test_a_run_whose_name_is_a_pattern_or_a_path_reads_no_other_run(stored: Stored, run: str) -> None:
    handle = RunHandle(stored.context.store, run).package("p")
    with pytest.raises(FarmError):
        read_ordered_work(stored.context, handle)
