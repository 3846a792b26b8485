"""An image counts as built only if a worker that may build its architecture attested exactly it.

The attackers may push to the registry, or hold the key of one worker, or sit between farm and registry.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.attestation.check import Attestation, attestations, attestations_of_all
from farm.attestation.envelope import ENVELOPE_TYPE
from farm.errors import RegistryDamagedError
from farm.model import Descriptor, Reference, digest_of
from farm.registry import referrer_lists
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from farm.registry.referrers import attach
from farm.registry.transport import Request
from farm.system.at_once import at_once
from lab.images import push_bytes
from tests.support.attestations import Worker, keys_of
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import other_bytes
from tests.support.values import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab
    from tests.support.proxy.http import Exchange, HttpProxy


@dataclass(frozen=True)
class Scene:
    """A pushed image, the workers of a policy, and what an attacker may do."""

    registry: Registry
    name: Reference
    image: Descriptor
    honest: Worker
    other: Worker
    """A worker of another architecture."""

    def pushed(
        self, envelope: bytes, about: Descriptor | None = None, name: Reference | None = None
    ) -> Descriptor:
        """Attach an envelope, as whoever may push can."""
        return attach(self.registry, name or self.name, about or self.image, ENVELOPE_TYPE, envelope, {})

    def counted(self, name: Reference | None = None) -> tuple[Attestation, ...]:
        """The attestations of the image that count for arm64."""
        keys = keys_of(self.honest, self.other)
        return attestations(self.registry, name or self.name, self.image.digest, keys, "arm64")

    def states(self, **facts: Any) -> bytes:
        """An honest statement, or one with other facts under the honest key."""
        return self.honest.attests(self.name, self.image.digest, **facts)

    @property
    def tag(self) -> Reference:
        """The tag with the list of what is attached."""
        return self.name.with_tag(self.image.digest.replace(":", "-"))

    def listed(self) -> list[dict[str, Any]]:
        """What is listed there."""
        entries: list[dict[str, Any]] = json.loads(self.registry.existing(self.tag).body)["manifests"]
        return entries

    def list_only(self, entries: list[dict[str, Any]]) -> None:
        """Replace the list."""
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        self.registry.put_manifest(self.tag, OCI_INDEX, body)

    def manifest(self, **fields: Any) -> bytes:
        """The image's manifest with other fields."""
        own = json.loads(self.registry.existing(self.name.with_digest(self.image.digest)).body)
        return json.dumps({**own, **fields}).encode()

    def put(self, body: bytes) -> Descriptor:
        """Push a manifest without a tag."""
        return self.registry.put_manifest(self.name.with_digest(digest_of(body)), OCI_MANIFEST, body)


@pytest.fixture
def scene(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(referrer_lists, "_without_api", {})
    with Registry(Credentials.load(tmp_path), timeout=20) as registry:
        name = Reference.parse(f"{lab.registry}/attack{time.time_ns()}/foo:1")
        config = json.dumps({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers"}}).encode()
        push_bytes(registry, name, config)
        about = Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json()
        body = json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about, "layers": []}
        ).encode()
        image = registry.put_manifest(name.for_arch("arm64"), OCI_MANIFEST, body)
        yield Scene(registry, name, image, Worker(), Worker("s390x@rack1", ("s390x",)))


@pytest.fixture
def proxy(lab: Lab) -> Iterator[HttpProxy]:
    with http_proxy(lab.registry) as proxy:
        yield proxy


def test_an_honest_attestation_counts(scene: Scene) -> None:
    scene.pushed(scene.states())
    scene.pushed(scene.states(finished=1.8e9))
    assert [one.provenance.finished for one in scene.counted()] == [1.8e9, 1.7e9 + 60.25]
    (one, *_) = scene.counted()
    assert (one.worker, one.key) == (scene.honest.name, scene.honest.key.public)
    wanted = [(scene.name, scene.image.digest, "arm64"), (scene.name, digest("planted"), "arm64")]
    first, second = attestations_of_all(scene.registry, wanted, keys_of(scene.honest))
    assert (first, second) == (scene.counted(), ())


def test_the_worker_of_another_architecture_attests_nothing(scene: Scene) -> None:
    scene.pushed(scene.other.attests(scene.name, scene.image.digest, arch="arm64"))
    scene.pushed(scene.other.attests(scene.name, scene.image.digest, arch="s390x"))
    assert scene.counted() == ()


def test_a_key_that_the_policy_does_not_know_attests_nothing(scene: Scene) -> None:
    scene.pushed(replace(Worker(), name=scene.honest.name).attests(scene.name, scene.image.digest))
    assert scene.counted() == ()


@pytest.mark.parametrize(
    "facts", [{"image": digest("other")}, {"name": "localhost:1/linuxkit/other"}, {"arch": "amd64"}]
)
def test_a_right_signature_under_a_statement_about_something_else_attests_nothing(
    scene: Scene, facts: dict[str, str]
) -> None:
    scene.pushed(scene.states(**facts))
    assert scene.counted() == ()


def test_an_attestation_copied_to_another_repository_attests_nothing_there(scene: Scene) -> None:
    elsewhere = scene.name._replace(repository=f"{scene.name.repository}/copy")
    scene.pushed(scene.states(), name=elsewhere)
    assert scene.counted(elsewhere) == ()


def test_a_worker_cannot_state_what_another_one_made(scene: Scene) -> None:
    scene.pushed(scene.states(fingerprint=scene.other.key.fingerprint))
    assert scene.counted() == ()


def test_a_removed_key_attests_nothing_that_was_made_later(scene: Scene) -> None:
    scene.pushed(scene.states())
    removed = replace(scene.honest, until=1.7e9)
    for until, counted in ((1.7e9, 0), (1.7e9 + 61, 1)):
        keys = keys_of(replace(removed, until=until))
        assert len(attestations(scene.registry, scene.name, scene.image.digest, keys, "arm64")) == counted


def test_an_envelope_with_another_payload_attests_nothing(scene: Scene) -> None:
    envelope = json.loads(scene.honest.attests(scene.name, digest("other")))
    payload = base64.b64decode(envelope["payload"]).replace(
        digest("other")[7:].encode(), scene.image.digest[7:].encode()
    )
    scene.pushed(json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}).encode())
    assert scene.counted() == ()


def test_an_envelope_of_another_kind_of_payload_attests_nothing(scene: Scene) -> None:
    envelope = json.loads(scene.states())
    scene.pushed(json.dumps({**envelope, "payloadType": "text/plain"}).encode())
    assert scene.counted() == ()


def test_another_images_attestation_attached_to_this_one_attests_nothing(scene: Scene) -> None:
    scene.pushed(scene.honest.attests(scene.name, digest("honest image")))
    assert scene.counted() == ()


@pytest.mark.parametrize(
    "garbage", [b"", b"{}", b"null", b"[" * 200_000, b"\x00" * 300_000, b'{"payload":3}']
)
def test_garbage_beside_an_honest_attestation_hides_nothing(scene: Scene, garbage: bytes) -> None:
    scene.pushed(scene.states())
    scene.pushed(garbage)
    assert len(scene.counted()) == 1


def test_a_flooded_list_costs_little_and_the_next_attestation_is_found_again(
    scene: Scene, proxy: HttpProxy
) -> None:
    envelope = scene.states()
    scene.pushed(envelope)
    (honest,) = scene.listed()
    subject = {"subject": scene.image.to_json(), "artifactType": ENVELOPE_TYPE}
    bodies = [scene.manifest(**subject, annotations={"n": str(number)}) for number in range(40)]
    made = at_once(scene.put, bodies)
    flood = [one.to_json() | {"artifactType": ENVELOPE_TYPE} for one in made] * 250
    scene.list_only([*flood, honest])
    assert scene.counted(scene.name._replace(registry=proxy.address)) == ()
    assert proxy.seen("GET", "") < 40
    scene.pushed(envelope)
    assert len(scene.counted()) == 1
    assert scene.registry.existing(scene.tag).descriptor.size < 1 << 20


def test_a_list_whose_members_were_deleted_does_not_keep_a_worker_from_attesting(scene: Scene) -> None:
    planted = scene.put(scene.manifest(annotations={"n": "1"}))
    scene.list_only([planted.to_json() | {"artifactType": ENVELOPE_TYPE}])
    path = f"manifests/{planted.digest}"
    scene.registry.once(Request.to(scene.name, "DELETE", path, "pull,push,delete"))
    scene.pushed(scene.states())
    assert len(scene.counted()) == 1


def test_an_image_in_place_of_the_list_hides_only_what_it_replaced(scene: Scene) -> None:
    scene.registry.put_manifest(scene.tag, OCI_MANIFEST, scene.manifest())
    assert scene.counted() == ()
    scene.pushed(scene.states())
    assert len(scene.counted()) == 1


def test_a_registry_that_answers_with_anothers_attestation_is_not_believed(
    scene: Scene, proxy: HttpProxy
) -> None:
    foreign = replace(scene.image, digest=digest("foreign"))
    made = scene.pushed(scene.honest.attests(scene.name, foreign.digest), foreign)
    listed = {**made.to_json(), "artifactType": ENVELOPE_TYPE}
    page = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]}).encode()

    async def lie(exchange: Exchange) -> None:
        await exchange.answer(200, {"Content-Type": OCI_INDEX}, page)

    proxy.breaks("GET", "/referrers/", lie, times=100)
    here = scene.name._replace(registry=proxy.address)
    assert scene.counted(here) == ()
    # Under a name at this address the statement must name it, too.
    scene.pushed(scene.honest.attests(here, scene.image.digest))
    assert len(scene.counted(here)) == 1


def test_a_planted_attestation_in_the_registrys_list_hides_none_in_the_other_list(
    scene: Scene, proxy: HttpProxy
) -> None:
    here = scene.name._replace(registry=proxy.address)
    planted = scene.pushed(Worker().attests(here, scene.image.digest))
    scene.list_only([])
    scene.pushed(scene.honest.attests(here, scene.image.digest))
    listed = {**planted.to_json(), "artifactType": ENVELOPE_TYPE}
    page = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]}).encode()
    proxy.breaks(
        "GET", "/referrers/", lambda exchange: exchange.answer(200, {"Content-Type": OCI_INDEX}, page)
    )
    assert [one.worker for one in scene.counted(here)] == [scene.honest.name]


def test_changed_bytes_of_an_attestation_are_never_taken_for_its_absence(
    scene: Scene, proxy: HttpProxy
) -> None:
    scene.pushed(scene.states())
    proxy.breaks("GET", "/manifests/sha256:", other_bytes(), times=100)
    with pytest.raises(RegistryDamagedError):
        scene.counted(scene.name._replace(registry=proxy.address))
