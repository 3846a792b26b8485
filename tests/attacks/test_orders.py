"""Whoever writes Redis, the broker and the registry can delay a build, and decides nothing that is signed.

The attacker of these tests holds the farm's only Redis login and a registry login that may push everywhere.
Workers, publisher, registry and notary server are real.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.model import Copy, Platform
from farm.model.order import OrderedRun
from farm.model.run import PackageWork, Run, canonical
from farm.registry.index import Index
from farm.registry.oci import OCI_MANIFEST
from farm.scheduling import coordinator, dispatch
from farm.state.run_handles import RunHandle
from farm.state.runs import read_order, read_run
from tests.support.attacker import ARCHES, ended, for_run, forged, push, reference_of, work_of

if TYPE_CHECKING:
    from tests.support.attacker import Attacker
    from tests.support.remote_farm import RemoteFarm


def test_a_run_that_no_maintainer_ordered_is_neither_built_nor_published(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """Any package under any name, from Redis alone."""
    run, _ = push(farm, package)
    work = work_of(farm, run)
    tag = "f" * 40
    target = work.reference._replace(tag=tag)
    evil = replace(work, reference=target)
    changed = forged(evil, reference=target, hash=tag, tree=tag)
    record = ended(attacker.submit(changed))
    (only,) = record.packages.values()
    assert "the key that signed the order is not in the policy" in str(only.error)
    assert attacker.published(target) is None
    assert all(attacker.published(target.for_arch(arch)) is None for arch in ARCHES)
    assert attacker.signed(target) is None


@pytest.mark.parametrize(
    "change",
    [
        {"build_args": (("BASE", "evil"),), "force": True},
        {"build_args": (("BUILDKIT_SYNTAX", "evil.example.org/frontend"),), "force": True},
        {"network": True, "force": True},
        {"dockerfile": "Other", "force": True},
        {"labels": (("by", "evil"),), "force": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_part_of_an_order_that_was_changed_in_redis_is_not_built(
    farm: RemoteFarm, attacker: Attacker, package: str, change: dict[str, Any]
) -> None:
    """The honest order and its signature, and another work beside them."""
    run, digest = push(farm, package)
    work = work_of(farm, run)
    handle = RunHandle(farm.store, run)
    signed, _ = read_order(handle, [work.package])
    evil = for_run(work, run, **change)
    # The run is stored again as if it had never been carried out, with its own order.
    for part in ("meta", "records", "works", "left", "due", "in-progress"):
        farm.store.text.delete(handle.key(part))
    made = OrderedRun(Run(run, "evil@host", 1.0, (evil,)), signed, {work.package: canonical(evil.to_json())})
    record = ended(coordinator.submit_run(attacker.app, farm.store, made))
    (only,) = record.packages.values()
    assert "is not what the order of" in str(only.error)
    assert attacker.signed(work.reference) == digest
    assert attacker.members(work.reference) == {
        one.digest
        for one in Index.parse(attacker.registry.existing(work.reference.with_digest(digest)).body).manifests
    }


def test_an_index_of_chosen_digests_is_never_published(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """A run that builds nothing, and names images as existing."""
    run, digest = push(farm, package)
    work = work_of(farm, run)
    evil = attacker.image(work.reference, "amd64", "evil")
    images = tuple(
        replace(image, descriptors=(evil,))
        for image in (
            record.image
            for record in read_run(RunHandle(farm.store, run)).packages[work.package].jobs.values()
        )
        if image
    )
    record = ended(attacker.submit(forged(replace(work, jobs=(), existing=images))))
    assert not next(iter(record.packages.values())).state.succeeded
    assert attacker.signed(work.reference) == digest


def test_a_forged_message_during_an_honest_push_changes_nothing_of_what_is_signed(
    farm: RemoteFarm, attacker: Attacker
) -> None:
    """A publication with the attacker's digests, sent as soon as the run exists."""
    name = f"p{secrets.token_hex(4)}"
    farm.workspace.write(name, arches=", ".join(ARCHES))
    farm.done("trust", "init", name)
    run = str(farm.done("push", "--detach", "--json", name).json["run"])
    work = work_of(farm, run)
    evil = {arch: attacker.image(work.reference, arch, "evil") for arch in ARCHES}
    images = [
        {"arch": arch, "reference": str(work.reference.for_arch(arch)), "descriptors": [one.to_json()]}
        for arch, one in evil.items()
    ]
    dispatch.publish_signature(attacker.app, run, work, images=images).apply_async()
    farm.await_run(run, "done")
    digest = attacker.signed(work.reference)
    assert digest == attacker.registry.existing(work.reference).descriptor.digest
    assert not attacker.members(work.reference) & {one.digest for one in evil.values()}


def test_a_release_that_nobody_ordered_is_not_made(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    run, _ = push(farm, package)
    work = work_of(farm, run)
    copies = (Copy(work.reference, "v9", sign=True, tree=work.tree),)
    release = PackageWork("release v9", work.reference.with_tag("v9"), arches=(), copies=copies)
    record = ended(attacker.submit(Run(f"r9{secrets.randbelow(10**6)}-evil", "evil", 1.0, (release,))))
    assert not next(iter(record.packages.values())).state.succeeded
    assert attacker.published(work.reference.with_tag("v9")) is None
    assert attacker.signed(work.reference.with_tag("v9")) is None


def test_a_planted_architecture_tag_is_not_taken_for_built(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """NAME:HASH-ARCH before the honest build, from a registry login alone."""
    target = reference_of(farm, package)
    evil = attacker.image(target, "amd64", "evil")
    manifest = attacker.registry.existing(target.with_digest(evil.digest))
    attacker.registry.put_manifest(target.for_arch("amd64"), OCI_MANIFEST, manifest.body)
    plan = farm.done("plan", package).out
    assert "no authorised worker attests amd64" in plan
    _, digest = push(farm, package)
    assert attacker.signed(target) == digest
    assert evil.digest not in attacker.members(target)


def test_a_planted_index_gives_none_of_its_members_and_annotations_to_the_signed_one(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """Other variants, images without a platform, other architectures, annotations."""
    target = reference_of(farm, package)
    evil = attacker.image(target, "arm64", "evil")
    foreign = (
        replace(evil, platform=Platform("arm64", variant="v9")),
        replace(evil, platform=None),
        replace(evil, platform=Platform("s390x")),
        replace(evil, platform=Platform("amd64"), annotations=(("evil", "yes"),)),
    )
    index = Index(foreign, (("org.opencontainers.image.title", "evil"),))
    attacker.registry.put_manifest(target, index.media_type, index.body())
    _, digest = push(farm, package)
    manifest = attacker.registry.existing(target)
    assert (manifest.descriptor.digest, attacker.signed(target)) == (digest, digest)
    assert b"evil" not in manifest.body
    assert evil.digest not in attacker.members(target)


def test_a_signed_tag_that_was_overwritten_is_never_signed_with_the_foreign_index(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    run, digest = push(farm, package)
    target = work_of(farm, run).reference
    evil = attacker.image(target, "s390x", "evil")
    honest = Index.parse(attacker.registry.existing(target).body)
    attacker.index(target, *honest.manifests, evil)
    farm.run("push", package)
    assert attacker.signed(target) == digest
    farm.run("push", "--force", package)
    assert evil.digest not in attacker.members(target)
    assert attacker.signed(target) == attacker.registry.existing(target).descriptor.digest


def test_an_order_that_was_carried_out_replaces_nothing_of_a_newer_one(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """The old order, its honest signature and its images, stored again after a forced build."""
    run, first = push(farm, package)
    work = work_of(farm, run)
    old = attacker.members(work.reference)
    handle = RunHandle(farm.store, run)
    signed, (part,) = read_order(handle, [work.package])
    arguments = f"{farm.workspace.variables['FARM_BUILD_ARGS']},ANY=1"
    again = farm.workspace.done(
        "push", "--json", "--force", package, FARM_BROKER=farm.broker, FARM_BUILD_ARGS=arguments
    )
    second = again.json["packages"][0]["index"]["digest"]
    for arch, image in zip(ARCHES, sorted(old), strict=True):
        manifest = attacker.registry.existing(work.reference.with_digest(image))
        attacker.registry.put_manifest(
            work.reference.for_arch(arch), manifest.descriptor.media_type, manifest.body
        )
    for part_name in ("meta", "records", "works", "left", "due", "in-progress"):
        farm.store.text.delete(handle.key(part_name))
    made = OrderedRun(Run(run, "me", 1.0, (work,)), signed, {work.package: part})
    ended(coordinator.submit_run(attacker.app, farm.store, made))
    assert first != second
    assert attacker.signed(work.reference) == second
