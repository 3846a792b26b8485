"""What a retry repeats: all that was not published, each package with its dependencies."""

from __future__ import annotations

import pytest

from farm.errors import StateError
from farm.model import JobState, PackageState, RunState
from farm.planning.make_run import again, to_repeat
from farm.state.records import JobRecord, PackageRecord, RunRecord
from tests.support.values import image, work

FAILED, SIGNED, CANCELLED = PackageState.FAILED, PackageState.SIGNED, PackageState.CANCELLED


def package(name: str, state: PackageState, *needs: str, **jobs: JobRecord) -> PackageRecord:
    return PackageRecord(name, f"{name}:t", state, needs=needs, jobs=jobs)


def run_of(*packages: PackageRecord) -> RunRecord:
    return RunRecord("r42", RunState.OPEN, "me@here", 0.0, None, {one.package: one for one in packages})


CHAIN = run_of(
    package("base", FAILED),
    package("middle", FAILED, "base"),
    package("aside", CANCELLED),
    package("top", FAILED, "middle"),
)


def test_failed_and_cancelled_packages_are_repeated_in_the_order_of_the_run() -> None:
    record = run_of(package("d", FAILED, "x"), package("s", SIGNED), package("x", CANCELLED))
    assert to_repeat(record) == {"d": "", "x": ""}


def test_published_packages_and_those_in_progress_are_not_repeated() -> None:
    record = run_of(package("s", SIGNED), package("b", PackageState.BUILDING))
    assert to_repeat(record) == {}
    assert to_repeat(record, ["s", "b"]) == {}


@pytest.mark.parametrize(
    ("chosen", "repeated"),
    [
        (["top"], {"base": "middle", "middle": "top", "top": ""}),
        (["top", "base"], {"base": "", "middle": "top", "top": ""}),
        (["base"], {"base": ""}),
    ],
)
def test_chosen_packages_are_repeated_with_their_dependencies_before_them_and_no_others(
    chosen: list[str], repeated: dict[str, str]
) -> None:
    assert list(to_repeat(CHAIN, chosen).items()) == list(repeated.items())


@pytest.mark.parametrize("state", [PackageState.WAITING, PackageState.BUILDING, PackageState.PUBLISHING])
@pytest.mark.parametrize("chosen", [(), ("d",)])
def test_a_package_whose_dependency_is_still_in_progress_is_refused(
    state: PackageState, chosen: tuple[str, ...]
) -> None:
    record = run_of(package("x", FAILED), package("y", state), package("d", FAILED, "x", "y"))
    with pytest.raises(StateError) as caught:
        to_repeat(record, chosen)
    assert str(caught.value) == (
        f"d needs y, which is still {state} in r42 (farm retry r42 when that has ended)"
    )
    assert to_repeat(record, ["x"]) == {"x": ""}


def test_a_repeated_package_waits_only_for_dependencies_in_the_new_run() -> None:
    record = run_of(package("s", SIGNED), package("x", FAILED), package("d", FAILED, "s", "x"))
    works = [work("x", "amd64"), work("d", "amd64", needs=("s", "x"))]
    new = again(record, works, {}, run="r43", submitter="me@here", created=1.0)
    assert [(one.package, one.needs) for one in new.works] == [("x", ()), ("d", ("x",))]
    assert (new.id, new.retry_of) == ("r43", "r42")
    assert {job.run for one in new.works for job in one.jobs} == {"r43"}


def test_what_was_built_is_not_built_again() -> None:
    ended = {"amd64": JobRecord("amd64", JobState.BUILT), "arm64": JobRecord("arm64", JobState.FAILED)}
    record, built = run_of(package("x", FAILED, **ended)), {"x": {"amd64": image("amd64")}}
    new = again(record, [work("x", "amd64", "arm64")], built, run="r43", submitter="me@here", created=1.0)
    assert [job.arch for job in new.works[0].jobs] == ["arm64"]
    assert new.works[0].existing == (image("amd64"),)
