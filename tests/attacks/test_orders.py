"""Whoever writes Redis, the broker and the registry can delay a build, and decides nothing that is signed.

The attacker of these tests holds the farm's only Redis login and a registry login that may push everywhere.
Workers, publisher, registry and notary server are real.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.model import Copy, Descriptor, Platform, Reference, digest_of
from farm.model.order import OrderedRun, SignedOrder, make_order
from farm.model.run import PackageWork, Run, canonical
from farm.registry.blobs import push_blob
from farm.registry.client import open_registry
from farm.registry.index import Index
from farm.scheduling import coordinator, dispatch
from farm.scheduling.celery_app import make_app
from farm.settings import Secret, Settings
from farm.state.run_handles import RunHandle
from farm.state.runs import read_order, read_run, read_works
from farm.trust import ssh_signatures
from farm.trust.signer import make_signer
from tests.acceptance.conftest import make_workspace, new_database
from tests.support.farm_command import BUSYBOX, wait_until
from tests.support.remote_farm import RemoteFarm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.registry.client import Manifest, Registry
    from lab.lab import Lab

ARCHES = ("amd64", "arm64")


class Attacker:
    """What somebody does who may write the farm's Redis and its registry, and holds no key."""

    def __init__(self, farm: RemoteFarm) -> None:
        self.farm, self.lab = farm, farm.workspace.lab
        # The root keys of the signatures are pinned beside docker's configuration.
        self.settings = Settings(
            broker=Secret(farm.broker),
            notary_server=self.lab.notary_url,
            notary_ca=self.lab.notary_ca,
            docker_config=Path(farm.workspace.variables["DOCKER_CONFIG"]),
        )
        self.app: Any = make_app(self.settings)
        self.registry: Registry = open_registry(self.settings)

    def sign(self, document: bytes) -> str:
        """A signature of the attacker's own key."""
        with tempfile.TemporaryDirectory() as directory:
            key = Path(directory, "key")
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            return ssh_signatures.sign(document, key, timeout=30)

    def submit(self, run: Run) -> RunHandle:
        """Store a run as the farm does, under an order that the attacker signs, and send its messages."""
        order, parts = make_order(run, "nonce")
        document = order.to_bytes()
        made = OrderedRun(run, SignedOrder(document, self.sign(document)), parts)
        return coordinator.submit_run(self.app, self.farm.store, made)

    def image(self, repository: Reference, arch: str, text: str) -> Descriptor:
        """Push an image of the attacker's."""
        config = json.dumps(
            {
                "architecture": arch,
                "os": "linux",
                "config": {"Labels": {"by": text}},
                "rootfs": {"type": "layers", "diff_ids": []},
            }
        ).encode()
        blob = Descriptor("application/vnd.oci.image.config.v1+json", digest_of(config), len(config))
        push_blob(self.registry, repository, blob, lambda: iter([config]))
        body = canonical({"schemaVersion": 2, "mediaType": OCI, "config": blob.to_json(), "layers": []})
        made = self.registry.put_manifest(repository.with_digest(digest_of(body)), OCI, body)
        return replace(made, platform=Platform(arch))

    def index(self, target: Reference, *members: Descriptor) -> str:
        """Put an index under a tag."""
        index = Index(tuple(members))
        self.registry.put_manifest(target, index.media_type, index.body())
        return index.descriptor().digest

    def signed(self, reference: Reference) -> str | None:
        """The digest that notary has for a tag."""
        found = make_signer(self.settings, self.registry).signed([reference])
        signature = found[reference.name].tags.get(reference.tag or "")
        return signature.digest if signature else None

    def published(self, reference: Reference) -> Manifest | None:
        return self.registry.manifest(reference)

    def members(self, reference: Reference) -> set[str]:
        manifest = self.registry.existing(reference)
        return {one.digest for one in Index.parse(manifest.body).manifests}


OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def farm(lab: Lab) -> Iterator[RemoteFarm]:
    """A farm with a worker for each architecture and a publisher, none of which the attacker controls."""
    with tempfile.TemporaryDirectory(prefix="farm-t") as home:
        workspace = make_workspace(lab, Path(home))
        farm = RemoteFarm(workspace, new_database(lab))
        try:
            with farm.serving(*ARCHES):
                yield farm
        finally:
            farm.close()


@pytest.fixture
def attacker(farm: RemoteFarm) -> Iterator[Attacker]:
    attacker = Attacker(farm)
    with attacker.registry:
        yield attacker


@pytest.fixture
def package(farm: RemoteFarm) -> str:
    """A package that may be signed, which no test has used."""
    name = f"p{secrets.token_hex(4)}"
    farm.workspace.write(name, arches=", ".join(ARCHES), Dockerfile=f"{BUSYBOX}ARG ANY\nLABEL any=${{ANY}}\n")
    farm.done("trust", "init", name)
    return name


def reference_of(farm: RemoteFarm, package: str) -> Reference:
    return Reference.parse(farm.done("show-tag", package).out.strip())


def push(farm: RemoteFarm, *words: str) -> tuple[str, str]:
    """Push; the run's name, and the digest of the first index."""
    data = farm.done("push", "--json", *words).json
    return data["run"], data["packages"][0]["index"]["digest"]


def ended(run: RunHandle) -> Any:
    """The record of a run once all of it has ended."""
    wait_until(lambda: read_run(run).state.ended, 30)
    return read_run(run)


def work_of(farm: RemoteFarm, run: str) -> PackageWork:
    """The work of a run's only package."""
    handle = RunHandle(farm.store, run)
    return read_works(handle, [next(iter(read_run(handle).packages))])[0]


def for_run(work: PackageWork, run: str, **changes: Any) -> PackageWork:
    """The work of an honest run as another run's, with every job changed."""
    jobs = tuple(replace(job, run=run, **changes) for job in work.jobs)
    return replace(work, jobs=jobs)


def forged(work: PackageWork, **changes: Any) -> Run:
    run = f"r9{secrets.randbelow(10**6)}-evil"
    return Run(run, "evil@host", 1.0, (for_run(work, run, **changes),))


def test_a_run_that_no_maintainer_ordered_is_neither_built_nor_published(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """Any package under any name, from Redis alone."""
    run, _ = push(farm, package)
    work = work_of(farm, run)
    tag = "f" * 40
    target = replace(work.reference, tag=tag)
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
    attacker.registry.put_manifest(target.for_arch("amd64"), OCI, manifest.body)
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
