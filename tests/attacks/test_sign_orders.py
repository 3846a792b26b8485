"""A tag is signed as what a maintainer orders by digest, if workers attest that for this tag.

The attackers may push to the registry, or are maintainers who may not release.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from farm.model import Copy, PackageWork, Run
from tests.support.attacker import ended, push, reference_of, work_of

if TYPE_CHECKING:
    from farm.model import Reference
    from tests.support.attacker import Attacker
    from tests.support.remote_farm import RemoteFarm


def signing(attacker: Attacker, key: str, copy: Copy, *adopted: str) -> str:
    """The error of a run that signs a tag, under the order of a maintainer."""
    work = PackageWork("sign it", copy.target, arches=("amd64",), copies=(copy,), adopted=adopted)
    run = Run(f"r8{secrets.randbelow(10**6)}-evil", key, time.time(), (work,))
    (package,) = ended(attacker.submit(run, key)).packages.values()
    assert not package.state.succeeded
    return str(package.error)


def test_a_maintainer_who_orders_a_signature_signs_nothing_that_no_worker_built(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    target = reference_of(farm, package)
    attacker.index(target, attacker.image(target, "amd64", "evil"))
    answer = farm.run("sign", str(target))
    assert (answer.code, "no authorised worker has built" in answer.err) == (4, True)
    assert attacker.signed(target) is None


def test_the_publisher_does_not_believe_an_order_that_says_a_worker_built_it(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    target, evil = _planted(farm, attacker, package)
    copy = Copy(target, str(target.tag), sign=True, tree=str(target.tag), digest=evil)
    assert "no authorised worker attests" in signing(attacker, "alice", copy)
    assert attacker.signed(target) is None


def test_who_may_not_release_adopts_nothing_and_gives_no_other_tag(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    target, evil = _planted(farm, attacker, package)
    adopting = Copy(target, str(target.tag), sign=True, digest=evil)
    assert "carol may not release" in signing(attacker, "carol", adopting, evil)
    assert "carol may not release" in signing(attacker, "carol", Copy(target, "v1", sign=True, digest=evil))
    assert attacker.signed(target) is None
    assert attacker.published(target.with_tag("v1")) is None


def test_what_a_tag_refers_to_after_the_order_was_signed_is_not_signed(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    run, digest = push(farm, "--no-sign", package)
    work = work_of(farm, run)
    attacker.index(work.reference, attacker.image(work.reference, "amd64", "evil"))
    copy = Copy(work.reference, str(work.reference.tag), sign=True, tree=work.tree, digest=digest)
    assert f"by now, not to {digest}; nothing was signed" in signing(attacker, "alice", copy)
    assert attacker.signed(work.reference) is None


def test_a_signed_tag_is_not_signed_as_something_else_although_a_maintainer_adopts_it(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """Only a build that was ordered anew replaces what is signed."""
    run, digest = push(farm, package)
    target = work_of(farm, run).reference
    evil = attacker.index(target, attacker.image(target, "amd64", "evil"))
    copy = Copy(target, str(target.tag), sign=True, digest=evil)
    assert f"but {digest} is signed: it was overwritten" in signing(attacker, "alice", copy, evil)
    assert attacker.signed(target) == digest


def _planted(farm: RemoteFarm, attacker: Attacker, package: str) -> tuple[Reference, str]:
    """A tag that refers to an index of the attacker's, and the digest of that."""
    target = reference_of(farm, package)
    return target, attacker.index(target, attacker.image(target, "amd64", "evil"))
