"""A tag is signed as what a maintainer orders by digest, if workers attest that for this tag.

The attackers may push to the registry, or are maintainers who may not release.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import pytest

from farm.model import ArchImage, Copy, PackageWork, Run
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
    assert (answer.code, "no authorised worker attests" in answer.err) == (4, True)
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


def test_the_image_of_one_architecture_is_not_signed_in_the_place_of_the_index(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """An honest one, which its worker attests."""
    run, _ = push(farm, "--no-sign", package)
    work = work_of(farm, run)
    image = attacker.registry.existing(work.reference.for_arch("amd64"))
    attacker.registry.put_manifest(work.reference, image.descriptor.media_type, image.body)
    assert "no authorised worker attests" in farm.run("sign", str(work.reference)).err
    digest = image.descriptor.digest
    copy = Copy(work.reference, str(work.reference.tag), sign=True, tree=work.tree, digest=digest)
    assert "no authorised worker attests it" in signing(attacker, "alice", copy)
    assert attacker.signed(work.reference) is None


@pytest.mark.parametrize("what", ["the image of another architecture", "the signed index"])
def test_an_architecture_tag_is_signed_as_nothing_but_the_image_of_that_architecture(
    farm: RemoteFarm, attacker: Attacker, package: str, what: str
) -> None:
    run, index = push(farm, package)
    work = work_of(farm, run)
    target = work.reference.for_arch("s390x")
    amd64 = attacker.registry.existing(work.reference.for_arch("amd64")).descriptor.digest
    digest = index if what == "the signed index" else amd64
    copy = Copy(work.reference, str(target.tag), sign=True, tree=work.tree, digest=digest)
    assert digest in signing(attacker, "carol", copy)
    assert attacker.published(target) is None
    assert attacker.signed(target) is None


def test_a_work_that_says_two_things_about_its_signature_is_refused(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """Otherwise what is signed could be replaced by what is not to be signed."""
    run, digest = push(farm, package)
    work = work_of(farm, run)
    copy = Copy(work.reference, str(work.reference.tag), sign=False, tree=work.tree, digest=digest)
    assert "the work contradicts itself" in signing(attacker, "alice", copy)


def test_who_may_not_release_adopts_no_member_of_an_index_either(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    target = reference_of(farm, package)
    evil = attacker.image(target, "amd64", "evil")
    image = ArchImage("amd64", target.for_arch("amd64"), (evil,))
    work = PackageWork(package, target, ("amd64",), existing=(image,), adopted=(evil.digest,), tree="a" * 40)
    run = Run(f"r8{secrets.randbelow(10**6)}-evil", "carol", time.time(), (work,))
    (record,) = ended(attacker.submit(run, "carol")).packages.values()
    assert "carol may not release or adopt" in str(record.error)
    assert attacker.published(target) is None


def _planted(farm: RemoteFarm, attacker: Attacker, package: str) -> tuple[Reference, str]:
    """A tag that refers to an index of the attacker's, and the digest of that."""
    target = reference_of(farm, package)
    return target, attacker.index(target, attacker.image(target, "amd64", "evil"))
