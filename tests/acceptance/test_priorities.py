"""Who waits for whom: small pushes beside mass rebuilds, priorities, and what plan and status say."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.farm_command import BUSYBOX, wait_until
from tests.support.remote_farm import RemoteFarm, Sleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace


@pytest.fixture(scope="module")
def farm(new_workspace: NewWorkspace, module_broker: str) -> Iterator[RemoteFarm]:
    """A worker that builds one job at a time, and a publisher."""
    workspace = new_workspace()
    workspace.variables["FARM_CONCURRENCY"] = "1"
    with closing(RemoteFarm(workspace, module_broker)) as farm, farm.serving("amd64"):
        yield farm


def write(farm: RemoteFarm, *names: str, step: str = "true") -> None:
    for name in names:
        farm.workspace.write(name, arches="amd64", Dockerfile=f"{BUSYBOX}RUN echo {name}; {step}\n")


def started(farm: RemoteFarm, *runs: str) -> list[str]:
    """The packages of runs in the order in which their builds began."""
    jobs = [
        (package.jobs["amd64"].started, name.rpartition("/")[2])
        for run in runs
        for name, package in farm.record(run).packages.items()
    ]
    return [name for at, name in sorted(jobs) if at]


def hold(farm: RemoteFarm, package: str) -> tuple[Sleep, str]:
    """Keep the only worker busy until the step is finished; returns that, and the name of its run."""
    step = Sleep()
    write(farm, package, step=step.command)
    run = farm.submit(package)
    step.wait()
    return step, run


def ended(farm: RemoteFarm, run: str) -> bool:
    return farm.record(run).state.ended


def test_neither_a_small_push_nor_an_urgent_one_waits_for_a_mass_rebuild(
    farm: RemoteFarm,
) -> None:
    hog, holding = hold(farm, "hog")
    many = [f"mass{number}" for number in range(8)]
    write(farm, *many, "small", "urgent")
    mass = farm.submit(*many, "--priority", "low")
    small, urgent = farm.submit("small"), farm.submit("urgent", "--priority", "high")
    hog.finish()
    for run in (holding, mass, small, urgent):
        wait_until(lambda run=run: ended(farm, run), 120)  # type: ignore[misc]
    order = started(farm, mass, small, urgent)
    # Two jobs of the mass rebuild may have been sent before the others came.
    assert max(order.index("small"), order.index("urgent")) <= 3
    assert set(order[4:]) < set(many)


def test_plan_shows_waves_the_critical_path_and_when_it_will_end(farm: RemoteFarm) -> None:
    write(farm, "base", "alone")
    tag = farm.workspace.tag("base")
    farm.workspace.write("user", arches="amd64", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/base:{tag}\n")
    words = ("plan", "--no-sign", "base", "alone", "user")
    lines = farm.done(*words).out.splitlines()
    org = farm.workspace.org
    assert f"2 waves of builds: 2, 1; critical path: {org}/base → {org}/user" in lines
    assert re.fullmatch(r"expected to take about \d+ s, until \d\d:\d\d, if no other run waits", lines[-1])
    data = farm.done(*words, "--json").json
    assert data["criticalPath"] == [f"{org}/base", f"{org}/user"]
    assert 0 < data["expectedSeconds"] < 600


def test_status_says_what_is_ahead_and_that_a_worker_is_drained(
    farm: RemoteFarm,
) -> None:
    hog, holding = hold(farm, "hog2")
    many = [f"wait{number}" for number in range(5)]
    write(farm, *many)
    run = farm.submit(*many)

    def waits() -> set[str]:
        packages = farm.run("status", run, "--json").json["packages"]
        return {job["waits"].partition(" (")[0] for package in packages for job in package["jobs"]}

    assert waits() == {"next", *(f"behind {number} job{'s'[: number > 1]}" for number in range(1, 5))}
    (worker,) = [one for one in farm.done("workers", "--json").json if "amd64" in one["arches"]]
    farm.done("workers", "drain", worker["name"])
    wait_until(lambda: waits() == {f"no worker accepts amd64: {worker['name']} is drained"})
    farm.done("workers", "resume", worker["name"])
    hog.finish()
    for one in (holding, run):
        wait_until(lambda one=one: ended(farm, one), 120)  # type: ignore[misc]
    assert sorted(started(farm, run)) == many
