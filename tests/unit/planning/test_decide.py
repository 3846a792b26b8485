"""From what was asked and what is published to what is left to do."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from farm.errors import InputError
from farm.model import BuildYml, GitTree
from farm.package.tarball import Context
from farm.planning.decide import make_plan
from farm.planning.make_run import make_run
from farm.planning.plan import PackagePlan, PublishedPackage, PushOptions, arches_of
from farm.planning.prepare_plan import without_builds
from tests.support.values import HASH, descriptor, digest, image, package

BOTH = ("amd64", "arm64")
OPTIONS = PushOptions(BOTH)
UNSIGNED, FORCED = PushOptions(BOTH, sign=False), PushOptions(BOTH, force=True)
IMAGES_ONLY = PushOptions(BOTH, images_only=True)
INDEX = descriptor("index", None)


def published(*arches: str, indexed: bool = True, signed: bool = True) -> PublishedPackage:
    """Published images of these architectures, as members of an index or not."""
    images = {arch: image(arch) for arch in arches}
    index = INDEX if indexed else None
    return PublishedPackage(images, index, frozenset(arches) if indexed else frozenset(), signed)


def planned(what: PublishedPackage, options: PushOptions = OPTIONS, **facts: Any) -> PackagePlan:
    """The plan for one package."""
    one = package(**facts)
    return make_plan([one], {one.image: what}, {}, options).packages[0]


NO_INDEX, MISSING = published(*BOTH, indexed=False), "build arm64; amd64 exists"


@pytest.mark.parametrize(
    ("what", "options", "build", "publish", "sign", "why"),
    [
        (published("amd64"), OPTIONS, ("arm64",), True, True, "build arm64; amd64 exists"),
        (published(*BOTH, signed=False), OPTIONS, (), False, True, "published but not signed: sign it"),
        (NO_INDEX, OPTIONS, (), True, True, "all images exist: publish the index and sign it"),
        (published(*BOTH), OPTIONS, (), False, False, "published and signed"),
        # An index with more architectures than asked for is left as it is.
        (published(*BOTH, "s390x"), OPTIONS, (), False, False, "published and signed"),
        (published(*BOTH, signed=False), UNSIGNED, (), False, False, "published"),
        (published(*BOTH), FORCED, BOTH, True, True, "build amd64, arm64"),
        (NO_INDEX, IMAGES_ONLY, (), False, False, "all images exist"),
        (published("amd64"), IMAGES_ONLY, ("arm64",), False, False, f"{MISSING}, and make no index"),
    ],
)
def test_only_what_is_missing_is_built_published_and_signed(
    what: PublishedPackage, options: PushOptions, build: tuple[str, ...], publish: bool, sign: bool, why: str
) -> None:
    plan = planned(what, options)
    assert (plan.build, plan.publish, plan.to_sign, plan.why()) == (build, publish, sign, why)
    assert plan.up_to_date == (not (build or publish or sign))


@pytest.mark.parametrize(
    ("own", "options", "arches"),
    [
        (("s390x", "amd64"), OPTIONS, ("s390x", "amd64")),
        (None, OPTIONS, ("amd64", "arm64")),
        ((), OPTIONS, ()),
        ((), PushOptions(BOTH, platforms=("arm64",)), ("arm64",)),
        (("s390x", "amd64"), PushOptions(("arm64",), only=("amd64",)), ("amd64",)),
        (("s390x",), PushOptions(("amd64",), platforms=("arm64", "amd64")), ("arm64", "amd64")),
        (None, PushOptions(BOTH, skip=("amd64",)), ("arm64",)),
    ],
)
def test_architectures_are_those_of_the_platforms_else_of_build_yml_else_of_the_settings(
    own: tuple[str, ...] | None, options: PushOptions, arches: tuple[str, ...]
) -> None:
    assert arches_of(package(arches=own), options) == arches


def test_a_package_with_none_of_the_architectures_asked_for_is_refused() -> None:
    with pytest.raises(InputError, match=r"pkg/foo: is built for none of s390x"):
        planned(PublishedPackage(), PushOptions(("amd64",), only=("s390x",)))


def test_a_plan_names_the_queues_that_workers_must_serve() -> None:
    plan = make_plan([package()], {}, {}, OPTIONS)
    assert plan.queues == {"amd64", "arm64", "publish"}
    nothing = make_plan([package()], {package().image: published(*BOTH)}, {}, OPTIONS)
    assert (nothing.work, nothing.queues) == ((), set())


def test_a_run_has_a_job_for_each_missing_image_and_names_those_that_exist() -> None:
    trees = (GitTree("pkg/foo", "1" * 40), GitTree("common", "2" * 40, "lib"))
    yml = BuildYml("foo", network=True, disable_cache=True, dockerfile="D", tag="v-{{.Hash}}")
    one = package(yml=yml, trees=trees)
    plan = make_plan(
        [one, package("bar")],
        {one.image: published("arm64"), "linuxkit/bar": published(*BOTH)},
        {},
        OPTIONS,
    )
    arguments = {one.image: ((("l", "1"),), (("A", "b"),))}
    contexts = {one.image: Context(digest("tar"), 7)}
    run = make_run(plan, contexts, arguments, run="r7", submitter="me", created=1.0, partial=True)
    (work,) = run.works
    (job,) = work.jobs
    assert (job.run, job.arch, job.context, job.tag) == ("r7", "amd64", digest("tar"), "v-{{.Hash}}")
    assert job.context_size == 7
    assert (job.dockerfile, job.network, job.no_cache, job.force) == ("D", True, True, False)
    assert (job.labels, job.build_args, job.destinations) == ((("l", "1"),), (("A", "b"),), ("lib",))
    assert (job.hash, job.tree) == (HASH, hashlib.sha1(("1" * 40 + "2" * 40).encode()).hexdigest())
    assert [image.arch for image in work.existing] == ["arm64"]
    assert (work.arches, work.sign, work.partial) == (("amd64", "arm64"), True, True)


def test_the_json_of_a_plan_says_what_will_be_done_and_why() -> None:
    data = planned(published("amd64", indexed=False, signed=False)).to_json()
    assert (data["package"], data["arches"], data["build"]) == ("linuxkit/foo", ["amd64", "arm64"], ["arm64"])
    assert (data["publish"], data["sign"], data["index"], data["signed"]) == (True, True, None, False)
    assert data["why"] == "build arm64; amd64 exists"


@pytest.mark.parametrize("force", [False, True])
def test_a_manifest_of_images_that_exist_builds_nothing(force: bool) -> None:
    options = PushOptions(BOTH, force=force)
    plan = make_plan([package()], {package().image: NO_INDEX}, {}, options)
    (item,) = without_builds(plan, partial=False).packages
    assert (item.build, item.publish) == ((), True)


def test_a_manifest_with_a_missing_image_is_refused_unless_partial() -> None:
    plan = make_plan([package()], {package().image: published("amd64", indexed=False)}, {}, OPTIONS)
    with pytest.raises(InputError, match="no image for arm64"):
        without_builds(plan, partial=False)
    assert without_builds(plan, partial=True).packages[0].arches == ("amd64",)
    with pytest.raises(InputError, match="no image for amd64, arm64"):
        without_builds(make_plan([package()], {}, {}, OPTIONS), partial=True)


def test_a_package_without_remaining_architectures_is_skipped_with_a_warning() -> None:
    one = package()
    plan = make_plan([one], {}, {}, PushOptions(("amd64",), skip=("amd64",)))
    assert plan.up_to_date
    assert plan.warnings == (f"{one.image}: skipped: no other architectures",)


def test_a_package_with_blank_arches_is_skipped_with_a_warning() -> None:
    one = package(arches=())
    for options in (OPTIONS, PushOptions(BOTH, only=("amd64",)), FORCED, IMAGES_ONLY):
        plan = make_plan([one], {}, {}, options)
        assert (plan.packages, plan.up_to_date) == ((), True)
        assert plan.warnings == (f"{one.image}: skipped: no architectures",)


def test_a_manifest_of_a_package_with_blank_arches_has_the_images_that_exist_or_is_skipped() -> None:
    one, every = package(arches=()), OPTIONS._replace(every_image=True)
    existing = make_plan([one], {one.image: published("amd64", indexed=False)}, {}, every)
    assert without_builds(existing, partial=True).packages[0].arches == ("amd64",)
    nothing = without_builds(make_plan([one], {}, {}, every), partial=True)
    assert (nothing.packages, nothing.warnings) == ((), (one.why_skipped,))


@pytest.mark.parametrize("options", [OPTIONS, PushOptions(BOTH, skip=("s390x",))])
def test_a_package_built_from_a_skipped_one_needs_it_in_the_registry(options: PushOptions) -> None:
    base = package("base", arches=("s390x",) if options.skip else ())
    needs = {"linuxkit/foo": (base.image,)}
    with pytest.raises(InputError, match="base image linuxkit/base is not published for arm64") as caught:
        make_plan([base, package()], {base.image: published("amd64")}, needs, options)
    assert caught.value.hint == "push linuxkit/base first, with its index"
    plan = make_plan([base, package()], {base.image: published(*BOTH)}, needs, options)
    assert [item.build for item in plan.packages] == [BOTH]


def test_nothing_is_signed_that_build_yml_or_images_only_exclude() -> None:
    trustless = BuildYml("foo", disable_content_trust=True)
    assert planned(published(*BOTH, signed=False), yml=trustless).why() == "published"
    plan = make_plan([package()], {}, {}, IMAGES_ONLY)
    (work,) = make_run(plan, {}, {package().image: ((), ())}, run="r1", submitter="me", created=0.0).works
    assert (work.images_only, work.sign, len(work.jobs)) == (True, False, 2)
