"""Jobs are sent as workers need them: the most urgent first, and shared among submitters; on real queues."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import CancelledError
from farm.model import JobState, PackageState, RunPriority
from farm.planning.wait_reasons import explain
from farm.scheduling import coordinator
from farm.scheduling.send_ready import refill, send_ready
from farm.state import transitions
from farm.state.earlier_builds import record_duration
from farm.state.queue_positions import read_queue_positions
from farm.state.ready import make_ready, read_open_runs
from farm.state.records import JobPatch
from farm.state.run_handles import RunHandle
from farm.state.runs import read_job, read_package, read_run
from farm.state.workers import WorkerInfo, drain, record_heartbeat
from tests.integration.state.steps import begin, drive
from tests.support.values import image, job, ordered, run_of, work

if TYPE_CHECKING:
    from farm.model import PackageWork
    from tests.integration.state.conftest import Farm


def submit(
    farm: Farm,
    run: str,
    *works: PackageWork,
    submitter: str = "me@here",
    priority: RunPriority = RunPriority.NORMAL,
    ranks: dict[str, float] | None = None,
) -> RunHandle:
    made = replace(run_of(*works, run=run), submitter=submitter, priority=priority, ranks=ranks or {})
    coordinator.submit_run(farm.app, farm.store, ordered(made))
    return RunHandle(farm.store, run)


def many(count: int, run: str) -> list[PackageWork]:
    return [work(f"{run}/p{number}", "amd64", run=run) for number in range(count)]


def taken(farm: Farm) -> list[str]:
    """The packages of the jobs in the queue, which workers take, and whose places are filled."""
    found = [message["kwargs"]["package"] for message in farm.take("build.amd64")]
    send_ready(farm.app, farm.store)
    return found


def test_without_workers_a_few_jobs_are_sent_and_the_rest_is_ready(farm: Farm) -> None:
    run = submit(farm, "r1", *many(10, "r1"))
    (known,) = read_open_runs(farm.store)
    assert (known.in_progress["amd64"], known.ready["amd64"]) == (2, 8)
    assert read_job(run.package("r1/p9").job("amd64")).state is JobState.WAITING  # type: ignore[union-attr]
    assert read_package(run.package("r1/p9")).state is PackageState.BUILDING


def test_fast_workers_have_more_jobs_in_their_queue(farm: Farm) -> None:
    record_heartbeat(farm.store, WorkerInfo("w@test", ("amd64",), False, 4, "20.10"))
    record_duration(farm.store, job(), 0.5)
    submit(farm, "r1", *many(30, "r1"))
    assert len(farm.take("build.amd64")) == 17


def test_the_package_with_the_longest_way_is_sent_first_and_else_the_first_of_the_run(farm: Farm) -> None:
    submit(farm, "r1", *many(5, "r1"), ranks={"r1/p3": 90.0, "r1/p1": 60.0, "r1/p0": 10.0, "r1/p2": 10.0})
    assert [*taken(farm), *taken(farm), *taken(farm)] == [f"r1/p{number}" for number in (3, 1, 0, 2, 4)]


def test_a_small_push_is_next_beside_a_mass_rebuild_and_the_rebuild_goes_on(farm: Farm) -> None:
    submit(farm, "r1", *many(50, "r1"), submitter="mass")
    submit(farm, "r2", *many(2, "r2"), submitter="person")
    assert [len(taken(farm))] == [2]
    assert sorted(taken(farm)) == ["r2/p0", "r2/p1"]
    assert taken(farm) == ["r1/p2", "r1/p3"]


def test_runs_share_the_queue_by_their_priorities_and_none_starves(farm: Farm) -> None:
    """Workers take what is sent in its order, so that a low priority is never passed over for good."""
    for run, priority in (("r1", RunPriority.LOW), ("r2", RunPriority.NORMAL), ("r3", RunPriority.HIGH)):
        submit(farm, run, *many(100, run), submitter=run, priority=priority)
    record_heartbeat(farm.store, WorkerInfo("w@test", ("amd64",), False, 4, "20.10"))
    record_duration(farm.store, job(), 0.1)
    send_ready(farm.app, farm.store)
    found = Counter(name.partition("/")[0] for name in (*taken(farm), *taken(farm)))
    assert found["r3"] > 2 * found["r2"] > 4 * found["r1"] > 0


def test_jobs_that_are_sent_one_by_one_are_one_chord(farm: Farm) -> None:
    """Its callback is the publication, and its ids follow from the run's names, whoever sends them."""
    submit(farm, "r1", work("linuxkit/foo", "amd64", "arm64"))
    with farm.app.connection_for_read() as connection, connection.channel() as opened:
        channel: Any = opened
        messages = [channel.basic_get(f"build.{arch}", no_ack=True) for arch in ("amd64", "arm64")]
    groups = {message.headers["group"] for message in messages}
    callbacks = [message.decode()[2]["chord"]["options"]["task_id"] for message in messages]
    assert len(groups) == len(set(callbacks)) == 1
    assert [message.headers["group_index"] for message in messages] == [0, 1]
    size = farm.store.text.get(f"celery-taskset-meta-{groups.pop()}.s")
    assert size == "2"


def test_a_cancelled_job_is_not_sent(farm: Farm) -> None:
    run = submit(farm, "r1", *many(4, "r1"))
    last = run.package("r1/p3").job("amd64")
    transitions.cancel_jobs(run, {last: CancelledError("cancelled")})
    assert [*taken(farm), *taken(farm), *taken(farm)] == ["r1/p0", "r1/p1", "r1/p2"]


def test_two_that_send_at_once_send_each_job_once(farm: Farm) -> None:
    submit(farm, "r1", *many(6, "r1"))
    farm.take("build.amd64")
    send_ready(farm.app, farm.store)
    assert send_ready(farm.app, farm.store) == 0
    assert len(farm.take("build.amd64")) == 2


def test_what_was_ready_and_is_forgotten_is_made_ready_again(farm: Farm) -> None:
    """A publisher died between the start of a package and its being ready."""
    run = submit(farm, "r1", *many(6, "r1"))
    farm.take("build.amd64")
    farm.store.text.delete(run.key("ready:amd64"))
    farm.store.text.zadd(run.key("due"), {f"P r1/p{number}": 1.0 for number in range(2, 6)})
    farm.reconcile()
    assert len(farm.take("build.amd64")) == 2


def test_a_worker_that_takes_the_last_job_has_more_sent(farm: Farm) -> None:
    submit(farm, "r1", *many(6, "r1"))
    assert farm.arches("amd64") == ["r1/p0 amd64", "r1/p1 amd64"]
    refill(farm.app, farm.store, "amd64")
    refill(farm.app, farm.store, "amd64")
    assert farm.arches("amd64") == ["r1/p2 amd64", "r1/p3 amd64"]


@pytest.mark.parametrize("work_of_another_release", ["[", '{"package": "r1/p2", "sandbox": true}', "{}", "7"])
def test_a_package_that_cannot_be_read_does_not_stop_the_others(
    farm: Farm, caplog: pytest.LogCaptureFixture, work_of_another_release: str
) -> None:
    broken = submit(farm, "r1", *many(6, "r1"))
    farm.take("build.amd64")
    farm.store.text.hset(broken.key("works"), "r1/p2", work_of_another_release)
    submit(farm, "r2", *many(2, "r2"), submitter="other")
    send_ready(farm.app, farm.store)
    assert "r2/p0 amd64" in farm.arches("amd64")
    send_ready(farm.app, farm.store)
    assert "r1/p3 amd64" in farm.arches("amd64")
    assert sum("r1: r1/p2 amd64 cannot be read" in record.message for record in caplog.records) <= 1
    assert farm.store.text.zscore(broken.key("ready:amd64"), "J r1/p2 amd64") is not None


def test_the_reconciler_leaves_a_new_run_to_its_submitter_who_may_be_sending(farm: Farm) -> None:
    submit(farm, "r1", *many(6, "r1"))
    farm.take("build.amd64")
    farm.reconcile(after=0)
    assert farm.arches("amd64") == []
    farm.reconcile(after=2.2)
    assert farm.arches("amd64") == ["r1/p2 amd64", "r1/p3 amd64"]


def test_a_record_that_somebody_else_wrote_does_not_stop_the_others(farm: Farm) -> None:
    broken = submit(farm, "r1", *many(6, "r1"))
    farm.take("build.amd64")
    farm.store.text.hset(broken.key("records"), "J r1/p2 amd64", "no record")
    send_ready(farm.app, farm.store)
    assert farm.arches("amd64") == ["r1/p3 amd64"]


def test_what_is_no_job_is_removed_from_the_ready_ones(farm: Farm) -> None:
    run = submit(farm, "r1", *many(6, "r1"))
    farm.take("build.amd64")
    key, foreign = run.key("ready:amd64"), ("x", "", "J linuxkit/foo arm64", "P linuxkit/foo", "J")
    farm.store.text.zadd(key, dict.fromkeys(foreign, 9e9))
    for _ in foreign:
        send_ready(farm.app, farm.store)
    assert farm.arches("amd64") == ["r1/p2 amd64", "r1/p3 amd64"]
    left: Any = farm.store.text.zrange(key, 0, -1)
    assert not set(foreign) & set(left)


def test_what_is_made_ready_when_its_run_has_ended_leaves_no_key(farm: Farm) -> None:
    run = submit(farm, "r1", *many(3, "r1"))
    farm.store.text.hset(run.key("meta"), "state", "cancelled")
    farm.store.text.delete(run.key("ready:amd64"))
    make_ready(run, {run.package("r1/p2"): ["amd64"]})
    assert not farm.store.text.exists(run.key("ready:amd64"))


@pytest.mark.parametrize("durations", ["nan", "-1", "1e999", "no number", ""])
def test_durations_that_somebody_else_wrote_do_not_stop_anything(farm: Farm, durations: str) -> None:
    farm.store.text.lpush("farm:durations:amd64", durations)
    submit(farm, "r1", *many(3, "r1"))
    assert len(farm.take("build.amd64")) == 2


def test_a_job_says_why_no_worker_accepts_it(farm: Farm) -> None:
    run = submit(farm, "r1", *many(3, "r1"))

    def why() -> set[str]:
        record = read_run(run)
        found = explain(record, read_queue_positions(farm.store, record))
        return {text for (_, arch), text in found.items() if arch}

    assert why() == {"no worker for amd64"}
    record_heartbeat(farm.store, WorkerInfo("w@test", ("amd64",), False, 1, "20.10"))
    assert why() == {"about to start", "behind 1 job", "behind 2 jobs"}
    drain(farm.store, "w@test", "somebody")
    assert why() == {"no worker accepts amd64: w@test is drained"}


def test_a_package_is_settled_if_all_of_its_jobs_were_cancelled_before_it_started(farm: Farm) -> None:
    run = submit(
        farm, "r1", work("linuxkit/foo", "amd64"), work("linuxkit/bar", "amd64", needs=("linuxkit/foo",))
    )
    bar = run.package("linuxkit/bar")
    transitions.cancel_jobs(run, {bar.job("amd64"): CancelledError("cancelled")})
    begin(farm.job)
    drive(farm.job, JobState.BUILT, JobPatch(image=image("amd64")))
    transitions.move_package(farm.foo, PackageState.PUBLISHING)
    transitions.move_package(farm.foo, PackageState.PUBLISHED)
    assert coordinator.start_dependents(farm.app, farm.foo) == [farm.bar]
    assert read_package(bar).state is PackageState.CANCELLED
