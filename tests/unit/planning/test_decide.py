"""From what is asked and what was found to what there is to do."""

from __future__ import annotations

import pytest

from farm.cli.manifest import without_builds
from farm.errors import DirtyError, InputError
from farm.model import BuildYml, GitTree, Package
from farm.planning.decide import PushOptions, arches_of, make_plan, make_run, refuse_unpushable
from farm.planning.plan import Found, PackagePlan
from tests.support.values import descriptor, digest, image, package

WISH = PushOptions(("amd64", "arm64"))
INDEX = descriptor("index", None)


def found(*arches: str, indexed: bool = True, signed: bool = True) -> Found:
    """What stands: images for these architectures, within an index or not."""
    images = {arch: image(arch) for arch in arches}
    index = INDEX if indexed else None
    return Found(images, index, frozenset(arches) if indexed else frozenset(), signed)


def planned(what: Found, wish: PushOptions = WISH, one: Package | None = None) -> PackagePlan:
    """The plan for one package."""
    one = one or package()
    return make_plan([one], {one.image: what}, {}, wish).packages[0]


def test_only_what_is_missing_is_built() -> None:
    plan = planned(found("amd64"))
    assert (plan.build, plan.publish, plan.to_sign) == (("arm64",), True, True)
    assert plan.why() == "build arm64; amd64 stands"


def test_what_stands_and_is_signed_needs_nothing() -> None:
    plan = planned(found("amd64", "arm64"))
    assert plan.nothing
    assert plan.why() == "stands, signed"


def test_what_stands_unsigned_is_signed_and_not_published_again() -> None:
    plan = planned(found("amd64", "arm64", signed=False))
    assert (plan.build, plan.publish, plan.to_sign) == ((), False, True)
    assert plan.why() == "the index stands unsigned: sign it"


def test_images_without_an_index_are_published_without_a_build() -> None:
    plan = planned(found("amd64", "arm64", indexed=False, signed=False))
    assert (plan.build, plan.publish) == ((), True)
    assert plan.why() == "all images stand: publish the index and sign it"


def test_an_index_that_holds_more_than_is_asked_for_is_left_alone() -> None:
    assert planned(found("amd64", "arm64", "s390x")).nothing


def test_nothing_is_signed_that_nobody_wants_signed() -> None:
    trustless = package(yml=BuildYml("foo", disable_content_trust=True))
    unsigned = found("amd64", "arm64", signed=False)
    assert planned(unsigned, one=trustless).why() == "stands"
    assert planned(unsigned, PushOptions(("amd64", "arm64"), sign=False)).nothing


def test_force_builds_what_stands() -> None:
    plan = planned(found("amd64", "arm64"), PushOptions(("amd64", "arm64"), force=True))
    assert plan.build == ("amd64", "arm64")
    assert plan.to_sign


def test_a_packages_own_architectures_beat_the_sites() -> None:
    own = package(arches=("s390x", "amd64"))
    assert arches_of(own, WISH) == ("s390x", "amd64")
    assert arches_of(package(), WISH) == ("amd64", "arm64")
    assert arches_of(own, PushOptions(("arm64",), only=("amd64",))) == ("amd64",)


def test_a_package_with_none_of_the_architectures_asked_for_is_refused() -> None:
    with pytest.raises(InputError, match=r"pkg/foo: is built for none of s390x"):
        planned(Found(), PushOptions(("amd64",), only=("s390x",)))


def test_a_package_comes_after_those_that_it_needs_and_waits_for_those_that_do_not_stand() -> None:
    top, middle, base = package("top"), package("middle"), package("base")
    needs = {top.image: [middle.image, base.image], middle.image: [base.image]}
    plan = make_plan([top, middle, base], {base.image: found("amd64", "arm64")}, needs, WISH)
    assert [item.package.image for item in plan.packages] == [base.image, middle.image, top.image]
    assert [item.needs for item in plan.packages] == [(), (), (middle.image,)]
    assert plan.packages[2].why() == "build amd64, arm64; after linuxkit/middle"


def test_packages_that_need_one_another_are_refused_with_the_circle() -> None:
    one, two = package("one"), package("two")
    with pytest.raises(InputError, match="circle") as caught:
        make_plan([one, two], {}, {one.image: [two.image], two.image: [one.image]}, WISH)
    assert {one.image, two.image} <= set(caught.value.message.replace("circle: ", "→ ").split(" → "))


def test_a_plan_names_the_queues_that_somebody_must_serve() -> None:
    todo = make_plan([package()], {}, {}, WISH)
    assert todo.queues == {"amd64", "arm64", "publish"}
    stands = make_plan([package()], {package().image: found("amd64", "arm64")}, {}, WISH)
    assert (stands.todo, stands.queues) == ((), set())


def test_only_clean_committed_packages_are_pushed() -> None:
    refuse_unpushable([package()])
    with pytest.raises(DirtyError, match="pkg/bad: has uncommitted changes"):
        refuse_unpushable([package(), package("bad", dirty=True)])
    with pytest.raises(InputError, match="pkg/bad: is not in git"):
        refuse_unpushable([package("bad", commit=None)])


def test_a_run_holds_a_job_for_each_missing_image_and_names_what_stands() -> None:
    trees = (GitTree("pkg/foo", "1" * 40), GitTree("common", "2" * 40, "lib"))
    yml = BuildYml("foo", network=True, disable_cache=True, dockerfile="D", tag="v-{{.Hash}}")
    one = package(yml=yml, trees=trees)
    plan = make_plan(
        [one, package("bar")], {one.image: found("arm64"), "linuxkit/bar": found("amd64", "arm64")}, {}, WISH
    )
    arguments = {one.image: ((("l", "1"),), (("A", "b"),))}
    run = make_run(
        plan, {one.image: digest("tar")}, arguments, run="r7", submitter="me", created=1.0, partial=True
    )
    (work,) = run.works
    (job,) = work.jobs
    assert (job.run, job.arch, job.context, job.tag) == ("r7", "amd64", digest("tar"), "v-{{.Hash}}")
    assert (job.dockerfile, job.network, job.no_cache, job.force) == ("D", True, True, False)
    assert (job.labels, job.build_args, job.destinations) == ((("l", "1"),), (("A", "b"),), ("lib",))
    assert [image.arch for image in work.existing] == ["arm64"]
    assert (work.arches, work.sign, work.partial) == (("amd64", "arm64"), True, True)


def test_a_plan_as_json_says_what_will_be_done_and_why() -> None:
    data = planned(found("amd64", indexed=False, signed=False)).to_json()
    assert data["package"] == "linuxkit/foo"
    assert (data["arches"], data["build"]) == (["amd64", "arm64"], ["arm64"])
    assert (data["publish"], data["sign"], data["index"], data["signed"]) == (True, True, None, False)
    assert data["why"] == "build arm64; amd64 stands"


@pytest.mark.parametrize("force", [False, True])
def test_a_manifest_of_what_stands_builds_nothing(force: bool) -> None:
    wish = PushOptions(("amd64", "arm64"), force=force)
    plan = make_plan([package()], {package().image: found("amd64", "arm64", indexed=False)}, {}, wish)
    (item,) = without_builds(plan, partial=False).packages
    assert (item.build, item.publish) == ((), True)


def test_a_manifest_of_what_does_not_all_stand_is_refused_unless_partial() -> None:
    plan = make_plan([package()], {package().image: found("amd64", indexed=False)}, {}, WISH)
    with pytest.raises(InputError, match="no image for arm64"):
        without_builds(plan, partial=False)
    assert without_builds(plan, partial=True).packages[0].arches == ("amd64",)
    with pytest.raises(InputError, match="no image for amd64, arm64"):
        without_builds(make_plan([package()], {}, {}, WISH), partial=True)


def test_platforms_are_those_that_are_named_whatever_the_package_says() -> None:
    own = package(yml=BuildYml("foo", arches=("s390x",)))
    assert arches_of(own, PushOptions(("amd64",), platforms=("arm64", "amd64"))) == ("arm64", "amd64")
    assert arches_of(package(), PushOptions(("amd64", "arm64"), skip=("amd64",))) == ("arm64",)


def test_a_package_of_which_all_is_skipped_is_passed_over_with_a_warning() -> None:
    one = package()
    plan = make_plan([one], {}, {}, PushOptions(("amd64",), skip=("amd64",)))
    assert plan.nothing
    assert one.image in plan.warnings[0]


def test_images_alone_are_built_and_nothing_is_published_or_signed() -> None:
    wish = PushOptions(("amd64", "arm64"), images_only=True)
    plan = planned(found("amd64", indexed=False), wish)
    assert (plan.build, plan.publish, plan.to_sign, plan.nothing) == (("arm64",), False, False, False)
    assert plan.why() == "build arm64; amd64 stands, and make no index"
    standing = planned(found("amd64", "arm64", indexed=False), wish)
    assert (standing.nothing, standing.why()) == (True, "all images stand")


def test_work_for_images_alone_asks_for_no_signature() -> None:
    one = package()
    plan = make_plan([one], {}, {}, PushOptions(("amd64",), images_only=True))
    (work,) = make_run(plan, {}, {one.image: ((), ())}, run="r1", submitter="me", created=0.0).works
    assert (work.images_only, work.sign, len(work.jobs)) == (True, False, 1)
