"""What somebody does who may write the farm's Redis and its registry, and what the farm then holds."""

from __future__ import annotations

import io
import secrets
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.model import Descriptor, Platform, Reference, digest_of
from farm.model.order import OrderedRun, SignedOrder, make_order
from farm.model.run import PackageWork, Run, canonical
from farm.registry.blobs import push_blob
from farm.registry.client import open_registry
from farm.registry.index import Index
from farm.registry.oci import OCI_CONFIG, OCI_MANIFEST
from farm.scheduling import coordinator
from farm.scheduling.celery_app import make_app
from farm.settings import Secret, Settings
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run, read_works
from farm.trust import ssh_signatures
from farm.trust.policy import Maintainer
from farm.trust.policy_file import load_policy, save_policy
from farm.trust.signer import make_signer
from tests.support.farm_command import wait_until
from tests.support.ssh_keys import keygen

if TYPE_CHECKING:
    from farm.registry.client import Manifest, Registry
    from lab.lab import Lab
    from tests.support.remote_farm import RemoteFarm

ARCHES = ("amd64", "arm64")


class Attacker:
    """What somebody does who may write the farm's Redis and its registry, and holds no key."""

    def __init__(self, farm: RemoteFarm) -> None:
        self.farm, self.lab = farm, farm.workspace.lab
        self.settings = Settings(
            broker=Secret(farm.broker),
            notary_server=self.lab.notary_url,
            notary_ca=self.lab.notary_ca,
            docker_config=Path(farm.workspace.variables["DOCKER_CONFIG"]),
        )
        self.app: Any = make_app(self.settings)
        self.registry: Registry = open_registry(self.settings)

    def sign(self, document: bytes, key: str = "") -> str:
        """A signature of the attacker's own key, or of a maintainer's of `limited_maintainers`."""
        if key:
            return ssh_signatures.sign(document, self.key_of(key), timeout=30)
        with tempfile.TemporaryDirectory() as directory:
            return ssh_signatures.sign(document, keygen(Path(directory, "key")), timeout=30)

    def key_of(self, maintainer: str) -> Path:
        """The key file of a maintainer."""
        if maintainer == "alice":
            return self.lab.identity.order_key
        return Path(self.farm.workspace.variables["FARM_POLICY"]).with_name(maintainer)

    def submit(self, run: Run, key: str = "") -> RunHandle:
        """Store a run as the farm does, under an order that the attacker signs, and send its messages."""
        order, parts = make_order(run, "nonce")
        document = order.to_bytes()
        made = OrderedRun(run, SignedOrder(document, self.sign(document, key)), parts)
        return coordinator.submit_run(self.app, self.farm.store, made)

    def image(self, repository: Reference, arch: str, text: str) -> Descriptor:
        """Push an image of the attacker's, under no tag."""
        return self.tagged(repository._replace(tag=None), arch, text)

    def tagged(self, target: Reference, arch: str, text: str) -> Descriptor:
        """Push an image of the attacker's under a tag."""
        return push_image(self.registry, target, arch, {"bin/busybox": text.encode()})

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


def push_image(
    registry: Registry, target: Reference, arch: str, files: dict[str, bytes], **config: Any
) -> Descriptor:
    """Push an image with one layer of these files, or with none, under its tag and its digest."""
    layers = [_layer(files)] if files else []
    described = {
        "architecture": arch,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
    }
    contents = [canonical(described), *layers]
    blobs = [
        Descriptor(kind, digest_of(content), len(content))
        for kind, content in zip(
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"), contents, strict=False
        )
    ]
    for blob, content in zip(blobs, contents, strict=True):
        push_blob(registry, target, blob, lambda content=content: iter([content]))  # type: ignore[misc]  # at once
    made = {"config": blobs[0].to_json(), "layers": [blob.to_json() for blob in blobs[1:]]}
    body = canonical({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **made})
    pinned = target.with_digest(digest_of(body))
    for place in (pinned, *([target] if target.tag else [])):
        pushed = registry.put_manifest(place, OCI_MANIFEST, body)
    return replace(pushed, platform=Platform(arch))


def _layer(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def limited_maintainers(lab: Lab, home: Path, org: str) -> dict[str, str]:
    """A policy in which alice, whose key is the lab's, may order everything, and others may not."""
    policy, directory = load_policy(lab.identity.policy), home / "trust"
    directory.mkdir(mode=0o700)
    others = {
        "bob": Maintainer("bob", "", (f"{org}/bob*",), release=True),
        "carol": Maintainer("carol", "", (f"{org}/*",)),
        "dave": Maintainer("dave", "", (f"{org}/*",), release=True, until=1.7e9),
    }
    added = tuple(
        replace(one, key=ssh_signatures.public_key(keygen(directory / name))) for name, one in others.items()
    )
    path = directory / "policy.yml"
    save_policy(path, replace(policy, maintainers=(*policy.maintainers, *added)))
    return {"FARM_POLICY": str(path)}


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
