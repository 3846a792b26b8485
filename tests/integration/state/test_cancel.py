"""Cancelling a run ends all of it, once, also when the command is cut off in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildFailedError
from farm.model import JobState, RunState
from farm.scheduling.cancel import cancel
from farm.settings import Secret
from farm.state import runs
from farm.state.overdue import read_overdue
from farm.state.records import JobPatch
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from farm.state.store import Store
from farm.state.transitions import end_packages, move_job
from tests.integration.state.steps import drive
from tests.support.values import image, ordered, run_of, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.state.conftest import Farm

FOO, BAR, ASIDE = "linuxkit/foo", "linuxkit/bar", "linuxkit/aside"
ALL_CANCELLED = dict.fromkeys((FOO, BAR, ASIDE), "cancelled")
JOBS = [(FOO, "amd64"), (FOO, "arm64"), (BAR, "amd64"), (ASIDE, "amd64")]


class CutOff(Store):
    """A store whose user is cut off by Ctrl-C after some steps."""

    steps = 0

    def run_script(self, *words: Any) -> list[Any]:
        self._step()
        return super().run_script(*words)

    def run_scripts(self, *words: Any) -> list[list[Any]]:
        self._step()
        return super().run_scripts(*words)

    def cancel(self, steps: int, **chosen: str) -> bool:
        """Cancel r1; returns whether that was cut off after these steps."""
        self.steps = steps
        try:
            cancel(RunHandle(self, "r1"), by="me@here", **chosen)
        except KeyboardInterrupt:
            return True
        return False

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
def made(farm: Farm) -> Farm:
    """r1, stored and not started: foo for two architectures, bar after it, and another beside them."""
    works = (work(FOO, "amd64", "arm64"), work(BAR, "amd64", needs=(FOO,)), work(ASIDE, "amd64"))
    runs.create_run(farm.store, ordered(run_of(*works)))
    return farm


@pytest.fixture
def sent(made: Farm) -> Farm:
    """r1, started."""
    for package in (FOO, ASIDE):
        assert made.start(made.r1.package(package))
    return made


def reconcile_all(farm: Farm) -> None:
    """Reconcile until there is nothing left to do."""
    for _ in range(4):
        farm.reconcile()


def job_states(run: RunHandle, *packages: str) -> set[JobState]:
    found = read_run(run).packages
    return {job.state for name in packages or found for job in found[name].jobs.values()}


def package_states(run: RunHandle) -> dict[str, str]:
    return {name: str(one.state) for name, one in read_run(run).packages.items()}


@pytest.mark.parametrize("unset", [None, ""])
def test_cancel_returns_everything_that_it_cancelled(sent: Farm, unset: str | None) -> None:
    done = cancel(sent.r1, package=unset, arch=unset, by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([FOO, BAR, ASIDE], JOBS)
    assert (package_states(sent.r1), job_states(sent.r1)) == (ALL_CANCELLED, {JobState.CANCELLED})
    again = cancel(sent.r1, by="me@here")
    assert (again.packages, again.jobs) == ((), ())


def test_cancel_of_a_package_returns_its_dependents_too(sent: Farm) -> None:
    done = cancel(sent.r1, package="foo", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([FOO, BAR], JOBS[:3])
    assert package_states(sent.r1) == {FOO: "cancelled", BAR: "cancelled", ASIDE: "building"}


@pytest.mark.parametrize("steps", range(3))
def test_a_cancel_that_was_cut_off_is_finished_by_another(sent: Farm, cut_off: CutOff, steps: int) -> None:
    if cut_off.cancel(steps):
        cancel(sent.r1, by="me@here")
    assert (package_states(sent.r1), job_states(sent.r1)) == (ALL_CANCELLED, {JobState.CANCELLED})


@pytest.mark.parametrize("steps", range(1, 10))
def test_a_cancel_of_a_package_that_was_cut_off_is_finished_by_the_reconciler(
    sent: Farm, cut_off: CutOff, steps: int
) -> None:
    if cut_off.cancel(steps, package="foo"):
        reconcile_all(sent)
    assert package_states(sent.r1) == {FOO: "cancelled", BAR: "cancelled", ASIDE: "building"}
    assert job_states(sent.r1, FOO, BAR) == {JobState.CANCELLED}


def test_a_cancel_that_was_cut_off_after_its_first_step_leaves_nothing_in_progress(
    sent: Farm, cut_off: CutOff
) -> None:
    assert cut_off.cancel(1)
    assert job_states(sent.r1) == {JobState.CANCELLED}
    reconcile_all(sent)
    record = read_run(sent.r1)
    assert (record.state, package_states(sent.r1)) == (RunState.CANCELLED, ALL_CANCELLED)
    assert f"{FOO} amd64: cancelled by me@here" in str(record.packages[FOO].error)
    assert read_overdue(sent.store, grace=0)[1] == []


def test_a_job_that_was_cancelled_before_its_package_started_is_never_sent(
    made: Farm, cut_off: CutOff
) -> None:
    assert cut_off.cancel(1)
    reconcile_all(made)
    assert made.arches("amd64", "arm64") == []
    assert package_states(made.r1) == ALL_CANCELLED


def test_a_running_job_of_a_package_that_has_ended_can_be_cancelled(sent: Farm) -> None:
    end_packages(sent.r1, {sent.foo: BuildFailedError("make failed")})
    done = cancel(sent.r1, package="foo", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([], JOBS[:3])
    assert job_states(sent.r1, FOO) == {JobState.CANCELLED}


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_failure_before_the_cancel_remains_the_reason_cut_off_or_not(
    sent: Farm, cut_off: CutOff, steps: int
) -> None:
    assert move_job(sent.job, JobState.FAILED, JobPatch(error=BuildFailedError("make failed")))
    if cut_off.cancel(steps):
        reconcile_all(sent)
    assert package_states(sent.r1) == {FOO: "failed", BAR: "failed", ASIDE: "cancelled"}
    assert str(read_run(sent.r1).packages[FOO].error) == "make failed; arm64 cancelled too"


def test_a_job_that_was_built_stays_built_when_its_package_is_cancelled(sent: Farm) -> None:
    drive(sent.job, JobState.BUILT, JobPatch(image=image("amd64")))
    done = cancel(sent.r1, package="foo", by="me@here")
    assert (list(done.packages), list(done.jobs)) == ([FOO, BAR], JOBS[1:3])
    assert read_run(sent.r1).packages[FOO].jobs["amd64"].state is JobState.BUILT


def test_a_cancel_of_an_architecture_that_was_cut_off_is_finished_by_another(
    sent: Farm, cut_off: CutOff
) -> None:
    assert cut_off.cancel(1, package="aside", arch="amd64")
    done = cancel(sent.r1, package="aside", arch="amd64", by="me@here")
    assert (done.packages, done.jobs) == ((ASIDE,), ())
    assert package_states(sent.r1)[FOO] == "building"
