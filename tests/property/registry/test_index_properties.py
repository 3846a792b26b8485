"""For any images and any published index: nothing is lost, and the order makes no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from farm.model import ARCHES, ArchImage, Descriptor, Platform
from farm.registry.index import (
    Index,
    assemble,
    holds,
    is_attestation,
    members_of,
    missing,
    platforms,
    subject,
)
from farm.registry.oci import OCI_MANIFEST
from tests.support.values import attestation, digest, reference

if TYPE_CHECKING:
    import random

_NOTES = st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=3), max_size=2).map(
    lambda notes: tuple(sorted(notes.items()))
)
_FOREIGN = st.builds(
    Platform,
    st.sampled_from(["arm", "386", *ARCHES]),
    st.sampled_from(["linux", "windows"]),
    st.sampled_from([None, "v6", "v7"]),
)


def _member(name: str, platform: Platform | None, notes: tuple[tuple[str, str], ...]) -> Descriptor:
    return Descriptor(OCI_MANIFEST, digest(name), 7, platform, notes)


def _attested(name: str, member: Descriptor, count: int) -> tuple[Descriptor, ...]:
    return tuple(attestation(f"{name} attestation {number}", member) for number in range(count))


@st.composite
def images(draw: st.DrawFn) -> list[ArchImage]:
    """Images of some architectures, as builds return them."""
    made = []
    for arch in draw(st.lists(st.sampled_from(ARCHES), unique=True, max_size=4)):
        name = f"new {arch} {draw(st.integers(0, 2))}"
        member = _member(name, Platform(arch), draw(_NOTES))
        members = [member, *_attested(name, member, draw(st.integers(0, 2)))]
        made.append(ArchImage(arch, reference().for_arch(arch), tuple(members)))
    return made


@st.composite
def published_indexes(draw: st.DrawFn) -> Index | None:
    """Any index that somebody may have pushed, in any order, also with attestations of absent images."""
    if draw(st.booleans()):
        return None
    members: dict[tuple[str, Platform | None], Descriptor] = {}
    for platform in draw(st.lists(st.none() | _FOREIGN, max_size=5)):
        # One digest may be listed for several platforms.
        name = f"old {draw(st.integers(0, 2))}"
        member = _member(name, platform, draw(_NOTES))
        for one in (member, *_attested(name, member, draw(st.integers(0, 1)))):
            members[one.digest, one.platform] = one
    order = draw(st.permutations(list(members.values())))
    return Index(tuple(order), draw(_NOTES))


@given(images(), published_indexes(), st.randoms())
def test_the_order_of_the_images_makes_no_difference(
    new: list[ArchImage], old: Index | None, chance: random.Random
) -> None:
    index = assemble(new, old)
    shuffled = list(new)
    chance.shuffle(shuffled)
    assert assemble(shuffled, old).body() == index.body()
    if old:
        members = list(old.manifests)
        chance.shuffle(members)
        assert assemble(new, Index(tuple(members), old.annotations)).body() == index.body()


@given(images(), published_indexes())
def test_assembling_again_changes_nothing(new: list[ArchImage], old: Index | None) -> None:
    index = assemble(new, old)
    assert assemble(new, index) == index
    assert assemble([], index) == index


@given(images(), published_indexes())
def test_an_image_replaces_exactly_those_of_its_platform_and_comes_before_attestations(
    new: list[ArchImage], old: Index | None
) -> None:
    index = assemble(new, old)
    added = [member for image in new for member in image.descriptors if not is_attestation(member)]
    before = [member for member in (old.manifests if old else ()) if not is_attestation(member)]
    replaced = {member.platform for member in added}
    wanted = {*added, *(member for member in before if member.platform not in replaced)}
    assert set(index.manifests[: len(wanted)]) == wanted
    assert all(map(is_attestation, index.manifests[len(wanted) :]))
    assert index.annotations == (old.annotations if old else ())


@given(images(), published_indexes())
def test_no_platform_is_lost_and_none_is_added(new: list[ArchImage], old: Index | None) -> None:
    index = assemble(new, old)
    before = platforms(old) if old else frozenset()
    assert platforms(index) == before | {image.arch for image in new}
    assert missing(index, [image.arch for image in new]) == ()


@given(images(), published_indexes())
def test_every_image_is_held_together_with_its_attestations(new: list[ArchImage], old: Index | None) -> None:
    index = assemble(new, old)
    assert all(holds(index, image) for image in new)
    for image in new:
        assert {member.digest for member in image.descriptors} <= {
            member.digest for member in members_of(index, image.arch)
        }


@given(images(), published_indexes())
def test_an_attestation_is_kept_exactly_as_long_as_its_image(new: list[ArchImage], old: Index | None) -> None:
    index = assemble(new, old)
    there = {member.digest for member in index.manifests if not is_attestation(member)}
    known = {member for image in new for member in image.descriptors} | set(old.manifests if old else ())
    wanted = {member.digest for member in known if is_attestation(member) and subject(member) in there}
    assert {member.digest for member in index.manifests if is_attestation(member)} == wanted


@given(images(), published_indexes())
def test_the_body_is_read_as_the_same_index(new: list[ArchImage], old: Index | None) -> None:
    index = assemble(new, old)
    assert Index.parse(index.body()) == index
    assert Index.parse(index.body()).descriptor() == index.descriptor()
