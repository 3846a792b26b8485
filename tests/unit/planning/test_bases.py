"""Which base images are looked up, and what an order says that they must be."""

from __future__ import annotations

from farm.model import Reference
from farm.package.dockerfile import BaseImage
from farm.planning.bases import related_bases, with_bases
from farm.planning.decide import make_plan
from farm.planning.plan import PublishedPackage, PushOptions
from tests.support.values import descriptor, digest, image, package

ONE, TWO = package("one"), package("two")
OTHER = ONE.reference.with_tag("other")
FAR = Reference.parse("docker.io/library/alpine:3")
OPTIONS = PushOptions(("amd64", "arm64"))


def test_a_base_of_the_organisation_is_looked_up_unless_another_package_of_the_push_makes_it() -> None:
    """A package's own tag is made by whoever pushed it before."""
    of_two = [BaseImage(one) for one in (ONE.reference, TWO.reference, OTHER, FAR)]
    pinned = BaseImage(OTHER._replace(digest=digest("pinned")))
    found = related_bases([ONE, TWO], {TWO.image: [*of_two, pinned], ONE.image: []})
    assert found == [TWO.reference, OTHER]


def test_the_order_names_a_package_of_the_push_by_its_tree_and_the_images_that_it_has() -> None:
    amd64 = image("amd64")
    index = descriptor("index", None)
    published = {ONE.image: PublishedPackage({"amd64": amd64}, index, frozenset({"amd64"}), signed=True)}
    plan = make_plan([ONE, TWO], published | {TWO.image: PublishedPackage()}, {}, OPTIONS)
    bases = {TWO.image: [BaseImage(one) for one in (ONE.reference, TWO.reference, OTHER, FAR)]}
    digests = {TWO.reference: digest("own"), OTHER: digest("other")}
    (two,) = (item for item in with_bases(plan, bases, digests).packages if item.package == TWO)
    assert two.bases == (
        (str(ONE.reference), ONE.tree),
        (str(ONE.reference), amd64.descriptors[0].digest),
        (str(TWO.reference), digest("own")),
        (str(OTHER), digest("other")),
    )
