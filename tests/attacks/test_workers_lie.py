"""A worker is believed about its own architecture only, and nobody else about anything.

The attackers hold the key of one worker of the policy, or may push to the registry while an index is
published. The registry is real.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.attestation.check import attest
from farm.errors import RegistryError
from farm.model import ArchImage, Descriptor, Platform, Reference, digest_of
from farm.registry.client import Manifest, Registry
from farm.registry.credentials import Credentials
from farm.registry.index import Index
from farm.registry.oci import OCI_MANIFEST
from farm.registry.publish_index import IndexPublication
from farm.settings import Settings
from farm.trust.attested_builds import MEMBERS, ORDERED, ImageOrigin, OrderedBuild
from farm.trust.image_choice import image_choice
from farm.trust.policy import Policy, WorkerKey
from farm.trust.tagged_origin import find_origin
from farm.trust.verified_images import ImageVerifier, unverified_members
from farm.trust.verify_tag import verify_tag
from tests.support.attacker import push_image
from tests.support.attestations import PROVENANCE, Worker
from tests.support.values import HASH, digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab

OTHER = "b" * 40


@dataclass(frozen=True)
class Site:
    """A registry with the images of one package, and the keys of three workers."""

    registry: Registry
    target: Reference
    amd64: Worker = field(default_factory=lambda: Worker("amd64@rack1", ("amd64",)))
    arm64: Worker = field(default_factory=lambda: Worker("arm64@rack3", ("arm64",)))
    s390x: Worker = field(default_factory=lambda: Worker("s390x@rack2", ("s390x",)))
    warnings: list[str] = field(default_factory=list)

    @property
    def policy(self) -> Policy:
        """Each worker may build its own architecture."""
        workers = (self.amd64, self.arm64, self.s390x)
        return Policy(workers=tuple(WorkerKey(one.name, one.key.public, one.arches) for one in workers))

    def image(self, arch: str, text: str, tag: str = "") -> Descriptor:
        """Push an image, by default under no tag."""
        target = self.target.for_arch(tag) if tag else self.target._replace(tag=None)
        return push_image(self.registry, target, arch, {"text": text.encode()})

    def states(self, worker: Worker, image: Descriptor, **facts: Any) -> None:
        """Attach an attestation of a worker."""
        said = {"name": self.target.name, "image": image.digest, "arch": worker.arches[0], "tag": HASH}
        parameters = {ORDERED: facts.pop("ordered", 1.7e9), MEMBERS: facts.pop("members", [])}
        provenance = replace(PROVENANCE, **said | {"parameters": parameters, "builder": worker.name} | facts)
        attest(self.registry, self.target, image, provenance, worker.key)

    def built(self, worker: Worker, text: str = "honest", **facts: Any) -> Descriptor:
        """Push and attest an image as an honest worker does."""
        arch = worker.arches[0]
        image = self.image(arch, text, arch)
        self.states(worker, image, **facts)
        return image

    def hint(self, arch: str, *images: Descriptor) -> ArchImage:
        """What a worker answers, or a record says."""
        return ArchImage(arch, self.target.for_arch(arch), images)

    def publication(
        self,
        *built: ArchImage,
        adopted: dict[str, float] | None = None,
        builds: dict[str, OrderedBuild] | None = None,
    ) -> IndexPublication:
        """What a publisher does without a signer."""
        origin = ImageOrigin(self.target, HASH)
        verifier = ImageVerifier(self.registry, self.policy, origin, adopted or {})
        choice = image_choice(verifier, None, self.warnings.append, builds or {})
        return IndexPublication(
            self.registry, self.target, built, choose=choice.choose, why_missing=choice.why_missing
        )

    def published(self, *built: ArchImage, **more: Any) -> tuple[Descriptor, ...]:
        """The members of the index that is published with these answers of workers."""
        publication = self.publication(*built, **more)
        publication.publish(check_lease=lambda: None, sign=lambda _: None, stop=threading.Event())
        return Index.parse(self.registry.existing(self.target).body).manifests


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    with Registry(Credentials.load(tmp_path), timeout=20) as registry:
        yield Site(registry, Reference.parse(f"{lab.registry}/lies{time.time_ns()}/foo:{HASH}"))


def test_a_worker_that_answers_with_another_architectures_name_replaces_nothing(site: Site) -> None:
    honest = site.built(site.arm64)
    evil = site.image("arm64", "evil", "arm64")
    site.states(site.amd64, evil, arch="arm64")
    site.states(site.amd64, evil, arch="amd64")
    assert site.published(site.hint("arm64", evil), site.hint("arm64", honest)) == (honest,)
    assert any(evil.digest in line for line in site.warnings)


def test_extra_platforms_in_a_workers_answer_are_not_published(site: Site) -> None:
    own, evil = site.built(site.amd64), site.image("arm64", "evil")
    assert site.published(site.hint("amd64", own, evil, replace(evil, platform=Platform("s390x")))) == (own,)


def test_an_image_of_another_architecture_never_gets_a_workers_slot(site: Site) -> None:
    """A worker of s390x attests an image for amd64."""
    honest, evil = site.built(site.amd64), site.image("amd64", "evil", "s390x")
    site.states(site.s390x, evil)
    described = replace(evil, platform=Platform("s390x"))
    assert site.published(site.hint("s390x", described), site.hint("amd64", honest)) == (honest,)


def test_what_an_index_says_of_an_image_comes_from_its_own_bytes(site: Site) -> None:
    """Size, variant, annotations and media type of an answer are not believed."""
    own = site.built(site.amd64)
    wrong = replace(own, size=1, platform=Platform("amd64", variant="v9"), annotations=(("evil", "yes"),))
    assert site.published(site.hint("amd64", wrong)) == (own,)


@pytest.mark.parametrize("facts", [{"tree": OTHER}, {"tag": OTHER}, {"tag": f"{HASH}-arm64"}])
def test_an_attestation_of_another_tree_or_tag_does_not_count_under_this_one(
    site: Site, facts: dict[str, str]
) -> None:
    other = site.built(site.arm64, **facts)
    with pytest.raises(RegistryError, match="no image for arm64"):
        replace(site.publication(site.hint("arm64", other)), required=("arm64",)).publish_once(
            lambda: None, lambda _: None
        )


def test_an_older_image_never_replaces_a_newer_one(site: Site) -> None:
    """Its tag, its place in the index and the worker's answer name the old one."""
    new = site.built(site.arm64, "new", ordered=1.7e9)
    assert site.published(site.hint("arm64", new)) == (new,)
    old = site.built(site.arm64, "old", ordered=1.6e9)
    # The old one is under the tag now; the published index still names the new one.
    assert site.published(site.hint("arm64", old)) == (new,)


@pytest.mark.parametrize("ordered", [10**400, 1e30, -1.0, True, "9", None])
def test_a_worker_that_dates_its_order_into_the_future_does_not_win_for_ever(
    site: Site, ordered: object
) -> None:
    """Nor does it stop the publisher with a number that none is."""
    liar = site.built(site.arm64, "liar", ordered=ordered, finished=2e10)
    honest = site.built(site.arm64, "honest", ordered=1.6e9)
    assert site.published(site.hint("arm64", liar), site.hint("arm64", honest)) == (honest,)


def test_an_earlier_image_is_not_published_in_the_place_of_what_was_ordered(site: Site) -> None:
    """Whoever may push moves the tag back, and whoever writes to Redis names the earlier image as built."""
    order = OrderedBuild(digest("a later order"), 1.65e9, recipe="")
    earlier = site.built(site.arm64, "earlier", ordered=1.6e9)
    publication = site.publication(site.hint("arm64", earlier), builds={"arm64": order})
    with pytest.raises(RegistryError, match=r"no image for arm64 \(it was built for another order\)"):
        replace(publication, required=("arm64",)).publish_once(lambda: None, lambda _: None)
    later = site.built(site.arm64, "later", ordered=1.65e9, order=order.order)
    hints = [site.hint("arm64", one) for one in (earlier, later)]
    assert site.published(*hints, builds={"arm64": order}) == (later,)


def test_an_image_of_the_same_recipe_serves_an_order_that_does_not_want_it_anew(site: Site) -> None:
    order = OrderedBuild(digest("a later order"), 1.65e9, PROVENANCE.recipe)
    earlier = site.built(site.arm64, "earlier", ordered=1.6e9)
    assert site.published(site.hint("arm64", earlier), builds={"arm64": order}) == (earlier,)


def test_a_tag_that_nobody_signed_is_verified_only_if_its_images_were_built_for_it(
    site: Site, tmp_path: Path
) -> None:
    """Whoever may push can let a release refer to an older package, whose images are attested."""
    site.published(site.hint("arm64", site.built(site.arm64)))
    settings, release = Settings(sign=False, docker_config=tmp_path), site.target.with_tag("v1")
    index = site.registry.existing(site.target)
    site.registry.put_manifest(release, index.descriptor.media_type, index.body)
    assert verify_tag(site.registry, settings, site.policy, site.target).problems == ()
    (problem,) = verify_tag(site.registry, settings, site.policy, release).problems
    assert problem == "nothing says that the images are those of v1: it is not signed"


def test_an_architecture_tag_that_is_overwritten_during_publishing_changes_nothing(site: Site) -> None:
    """Both tags are replaced between the push of the index and its signature."""
    honest = (site.built(site.amd64), site.built(site.arm64))
    evil = [site.image(arch, "evil", arch) for arch in ("amd64", "arm64")]
    index, signed = Index(tuple(evil)), list[str]()

    def attacked(signing: Descriptor) -> None:
        if not signed:
            for arch, image in zip(("amd64", "arm64"), evil, strict=True):
                body = site.registry.existing(site.target.with_digest(image.digest)).body
                site.registry.put_manifest(site.target.for_arch(arch), OCI_MANIFEST, body)
            site.registry.put_manifest(site.target, index.media_type, index.body())
        signed.append(signing.digest)

    built = [site.hint(arch, one) for arch, one in zip(("amd64", "arm64"), honest, strict=True)]
    site.publication(*built).publish(check_lease=lambda: None, sign=attacked, stop=threading.Event())
    manifest = site.registry.existing(site.target)
    assert Index.parse(manifest.body).manifests == honest
    assert set(signed) == {manifest.descriptor.digest}


def test_an_image_pushed_over_the_workers_own_before_it_attests_is_not_attested(site: Site) -> None:
    """What the worker states is the digest that it pushed, whatever the tag says by then."""
    own = site.image("arm64", "honest", "arm64")
    evil = site.image("arm64", "evil", "arm64")
    site.states(site.arm64, own)
    assert site.published(site.hint("arm64", own)) == (own,)
    assert evil.digest not in site.registry.existing(site.target).body.decode()


def test_what_buildkit_is_said_to_state_is_taken_only_where_a_worker_attests_it(site: Site) -> None:
    own, planted = site.image("arm64", "honest", "arm64"), site.image("amd64", "planted")
    stated = site.image("amd64", "stated")
    about = [
        replace(one, platform=Platform("unknown", "unknown"), annotations=_about(own))
        for one in (stated, planted)
    ]
    site.states(site.arm64, own, members=[stated.digest])
    assert site.published(site.hint("arm64", own, *about)) == (own, about[0])
    bare = site.image("arm64", "adopted")
    about = [replace(one, annotations=_about(bare)) for one in about]
    assert site.published(site.hint("arm64", bare, *about), adopted={bare.digest: 1.8e9}) == (bare,)


def test_an_adopted_image_is_the_one_of_the_order_whatever_its_tag_says_later(site: Site) -> None:
    adopted = site.image("arm64", "adopted", "arm64")
    evil = site.image("arm64", "evil", "arm64")
    hint = site.hint("arm64", adopted)
    assert site.published(hint, site.hint("arm64", evil), adopted={adopted.digest: 1.7e9}) == (adopted,)
    assert site.published(hint) == ()


def test_an_index_is_released_only_as_the_workers_attest_it(site: Site) -> None:
    amd64, arm64 = site.built(site.amd64), site.built(site.arm64)
    verifier = ImageVerifier(site.registry, site.policy, ImageOrigin(site.target, HASH))
    assert unverified_members(verifier, Index((amd64, arm64))) == ()
    for foreign in (
        replace(arm64, platform=Platform("amd64")),
        replace(arm64, platform=Platform("s390x")),
        replace(arm64, platform=None),
        replace(arm64, size=arm64.size + 1),
        replace(arm64, annotations=(("org.opencontainers.image.title", "evil"),)),
        site.image("arm64", "evil"),
    ):
        assert unverified_members(verifier, Index((amd64, arm64, foreign)))


def test_a_tag_is_what_workers_built_for_it_and_of_the_kind_that_they_built(site: Site) -> None:
    """Not an honest image in the place of an index, of another architecture, or beside a foreign one."""
    amd64, arm64 = site.built(site.amd64), site.built(site.arm64)
    foreign = site.image("s390x", "evil")
    own, of_arm64 = site.target, site.target.for_arch("arm64")

    def origin(tag: Reference, *members: Descriptor) -> ImageOrigin | None:
        index = Index(members)
        found = Manifest(index.descriptor(), index.body())
        if len(members) == 1:
            found = site.registry.existing(own.with_digest(members[0].digest))
        return find_origin(site.registry, site.policy, tag, found)

    assert origin(own, amd64, arm64) == ImageOrigin(own, HASH)
    assert origin(of_arm64, arm64) == ImageOrigin(own, HASH)
    assert origin(own, arm64) is None
    assert origin(of_arm64, amd64) is None
    assert origin(of_arm64, amd64, arm64) is None
    assert origin(own, amd64, arm64, foreign) is None
    for evil in (
        foreign,
        replace(amd64, platform=None),
        replace(amd64, platform=Platform("amd64", os="windows")),
    ):
        labelled = replace(evil, annotations=(("vnd.docker.reference.type", "attestation-manifest"),))
        assert origin(own, amd64, arm64, labelled) is None
    assert origin(own.with_tag("v1"), amd64, arm64) is None
    for worker, image in ((site.amd64, amd64), (site.arm64, arm64)):
        site.states(worker, image, tag="v1", finished=1.79e9)
    assert origin(own.with_tag("v1"), amd64, arm64) == ImageOrigin(own.with_tag("v1"), HASH)
    assert origin(own, amd64, arm64) == ImageOrigin(own, HASH)


def test_two_workers_are_two_keys(site: Site) -> None:
    """One worker that states the same twice does not count twice."""
    own = site.built(site.arm64)
    site.states(site.arm64, own, finished=1.75e9)
    policy = replace(site.policy, attestations=2)
    verifier = ImageVerifier(site.registry, policy, ImageOrigin(site.target, HASH))
    assert verifier.verify(site.hint("arm64", own)) is None


def test_a_digest_that_the_registry_answers_with_other_bytes_is_never_published(site: Site) -> None:
    absent = Descriptor(OCI_MANIFEST, digest_of(b"absent"), 6, Platform("arm64"))
    site.states(site.arm64, absent)
    assert site.published(site.hint("arm64", absent)) == ()


def _about(image: Descriptor) -> tuple[tuple[str, str], ...]:
    return (
        ("vnd.docker.reference.digest", image.digest),
        ("vnd.docker.reference.type", "attestation-manifest"),
    )
