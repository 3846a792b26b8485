"""Cancelling a run ends all of it, once, also when whoever cancels is cut off in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildFailedError
from farm.model import JobState, PackageState, RunState
from farm.scheduling import coordinator
from farm.scheduling.cancel import cancel
from farm.scheduling.reconciler import reconcile
from farm.settings import Secret
from farm.state import runs, transitions
from farm.state.overdue import read_overdue
from farm.state.store import Store
from tests.integration.state.conftest import Queues, let_time_pass
from tests.support.values import image, run_of, work

if TYPE_CHECKING:
    from collections.abc import Iterator

FOO, BAR, ASIDE = "linuxkit/foo", "linuxkit/bar", "linuxkit/aside"
JOBS = [(FOO, "amd64"), (FOO, "arm64"), (BAR, "amd64"), (ASIDE, "amd64")]


class CutOff(Store):
    """A way to the state on which Ctrl-C comes after some steps."""

    steps = 0

    def run_script(self, *words: Any) -> list[Any]:
        self._step()
        return super().run_script(*words)

    def run_scripts(self, *words: Any) -> list[list[Any]]:
        self._step()
        return super().run_scripts(*words)

    def _step(self) -> None:
        if not self.steps:
            raise KeyboardInterrupt
        self.steps -= 1


@pytest.fixture
def cut_off(redis_url: str) -> Iterator[CutOff]:
    """See `CutOff`."""
    store = CutOff(Secret(redis_url))
    yield store
    store.close()


@pytest.fixture
def made(store: Store) -> None:
    """r1, stored and not started: foo for two architectures, bar after it, and another beside them."""
    works = (work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,)), work(ASIDE, "amd64"))
    runs.create_run(store, run_of(*works))


@pytest.fixture
def sent(store: Store, queues: Queues, made: None) -> None:
    """r1, started."""
    del made
    for package in (FOO, ASIDE):
        assert coordinator.start(queues.app, store, "r1", runs.read_work(store, "r1", package))


def look(store: Store, queues: Queues) -> None:
    """Let the reconciler look until there is nothing left to do."""
    for _ in range(4):
        let_time_pass(store, "r1")
        reconcile(queues.app, store, keep=600.0)


def job_states(store: Store, *packages: str) -> set[JobState]:
    found = runs.read_run(store, "r1").packages
    return {job.state for name in packages or found for job in found[name].jobs.values()}


def package_states(store: Store) -> dict[str, str]:
    return {name: str(one.state) for name, one in runs.read_run(store, "r1").packages.items()}


def all_of_it(state: PackageState) -> dict[str, str]:
    return dict.fromkeys((FOO, BAR, ASIDE), str(state))


@pytest.mark.usefixtures("sent")
def test_who_cancels_is_told_all_that_was_cancelled(store: Store) -> None:
    done = cancel(store, "r1", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([FOO, BAR, ASIDE], JOBS)
    assert (package_states(store), job_states(store)) == (
        all_of_it(PackageState.CANCELLED),
        {JobState.CANCELLED},
    )
    again = cancel(store, "r1", by="me@here")
    assert (again.packages, again.jobs) == ((), ())


@pytest.mark.usefixtures("sent")
def test_who_cancels_a_package_is_told_what_is_cancelled_with_it(store: Store) -> None:
    done = cancel(store, "r1", package="foo", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([FOO, BAR], JOBS[:3])
    assert package_states(store) == {FOO: "cancelled", BAR: "cancelled", ASIDE: "building"}


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("steps", range(3))
def test_a_cancel_that_was_cut_off_is_finished_by_another(store: Store, cut_off: CutOff, steps: int) -> None:
    cut_off.steps = steps
    try:
        cancel(cut_off, "r1", by="me@here")
    except KeyboardInterrupt:
        cancel(store, "r1", by="me@here")
    assert (package_states(store), job_states(store)) == (
        all_of_it(PackageState.CANCELLED),
        {JobState.CANCELLED},
    )


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("steps", range(1, 10))
def test_a_cancel_of_a_package_that_was_cut_off_is_finished_by_the_reconciler(
    store: Store, queues: Queues, cut_off: CutOff, steps: int
) -> None:
    cut_off.steps = steps
    try:
        cancel(cut_off, "r1", package="foo", by="me@here")
    except KeyboardInterrupt:
        look(store, queues)
    assert package_states(store) == {FOO: "cancelled", BAR: "cancelled", ASIDE: "building"}
    assert job_states(store, FOO, BAR) == {JobState.CANCELLED}


@pytest.mark.usefixtures("sent")
def test_a_cancel_that_was_cut_off_after_its_first_step_leaves_nothing_under_way(
    store: Store, queues: Queues, cut_off: CutOff
) -> None:
    cut_off.steps = 1
    with pytest.raises(KeyboardInterrupt):
        cancel(cut_off, "r1", by="me@here")
    assert job_states(store) == {JobState.CANCELLED}
    look(store, queues)
    record = runs.read_run(store, "r1")
    assert (record.state, package_states(store)) == (RunState.CANCELLED, all_of_it(PackageState.CANCELLED))
    assert f"{FOO} amd64: cancelled by me@here" in record.packages[FOO].why
    assert read_overdue(store, grace=0)[1] == []


@pytest.mark.usefixtures("made")
def test_what_was_cancelled_before_it_was_started_is_never_sent(
    store: Store, queues: Queues, cut_off: CutOff
) -> None:
    cut_off.steps = 1
    with pytest.raises(KeyboardInterrupt):
        cancel(cut_off, "r1", by="me@here")
    look(store, queues)
    assert queues.arches("amd64", "arm64") == []
    assert package_states(store) == all_of_it(PackageState.CANCELLED)


@pytest.mark.usefixtures("sent")
def test_what_still_runs_of_a_package_that_has_ended_can_be_cancelled(store: Store) -> None:
    transitions.end_packages(store, "r1", {FOO: BuildFailedError("make failed")})
    done = cancel(store, "r1", package="foo", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([], JOBS[:3])
    assert job_states(store, FOO) == {JobState.CANCELLED}


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("steps", range(1, 9))
def test_a_failure_before_the_cancel_stays_the_reason_cut_off_or_not(
    store: Store, queues: Queues, cut_off: CutOff, steps: int
) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", JobState.FAILED, error=BuildFailedError("make failed"))
    cut_off.steps = steps
    try:
        cancel(cut_off, "r1", by="me@here")
    except KeyboardInterrupt:
        look(store, queues)
    assert package_states(store) == {FOO: "failed", BAR: "failed", ASIDE: "cancelled"}
    assert runs.read_run(store, "r1").packages[FOO].why == "make failed; arm64 cancelled too"


@pytest.mark.usefixtures("sent")
def test_what_was_built_stays_built_and_its_package_is_cancelled(store: Store) -> None:
    transitions.move_job(store, "r1", FOO, "amd64", JobState.BUILT, image=image("amd64"))
    done = cancel(store, "r1", package="foo", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([FOO, BAR], JOBS[1:3])
    assert runs.read_run(store, "r1").packages[FOO].jobs["amd64"].state is JobState.BUILT


@pytest.mark.usefixtures("sent")
def test_a_cancel_of_an_architecture_that_was_cut_off_is_finished_by_another(
    store: Store, cut_off: CutOff
) -> None:
    cut_off.steps = 1
    with pytest.raises(KeyboardInterrupt):
        cancel(cut_off, "r1", package="aside", arch="amd64", by="me@here")
    done = cancel(store, "r1", package="aside", arch="amd64", by="me@here")
    assert (done.packages, done.jobs) == ((ASIDE,), ())
    assert package_states(store)[FOO] == "building"
