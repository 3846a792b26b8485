"""Table and Lua script side by side: after every step, Redis has what a model made of the tables has."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from farm.errors import CancelledError, FarmError
from farm.model import JobState, PackageState, RunState
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS, RUN_TRANSITIONS, sources
from farm.scheduling import coordinator
from farm.scheduling.cancel import cancel
from farm.state.records import Patch, parse_job, parse_package
from farm.state.run_handles import JobHandle, PackageHandle
from farm.state.runs import create_run
from farm.state.transitions import clear_due, move_job, move_package
from tests.support.values import image, run_of, work

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from farm.state.store import Store

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
ARCHES = {FOO: ("amd64", "arm64", "s390x"), BAR: ("amd64",)}
"""foo's image for s390x exists already; bar depends on foo."""
IN_PROGRESS = [JobState.LEASED, JobState.BUILDING, JobState.PUSHING]
LATER = 60.0
ANY_ERROR = "any"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class ModelRecord:
    """The fields of a record that the model follows."""

    state: str
    token: str = ""
    waiting_for: str = ""
    lost: int = 0
    resent: int = 0
    error: str = ""

    def patched(self, to: str, patch: Patch) -> ModelRecord:
        return replace(
            self,
            state=to,
            token=self.token if patch.token is None else patch.token,
            waiting_for=patch.waiting_for,
            lost=self.lost if patch.lost is None else patch.lost,
            resent=patch.resent,
            error=str(patch.error or ""),
        )


@dataclass
class Model:
    """A run in plain Python: what the Lua script does, in terms of the tables."""

    records: dict[str, ModelRecord]
    left: dict[str, int]
    places: dict[str, set[str]]
    """queued:ARCH, in-progress and due: the records in each."""
    ended: dict[str, int] = field(default_factory=dict)
    open: int = 2
    run: RunState = RunState.OPEN
    events: list[tuple[str, str]] = field(default_factory=list)

    def move(
        self, handle: JobHandle | PackageHandle, to: Any, patch: Patch, expected: Collection[str], token: str
    ) -> bool:
        """Make a transition if the record is as expected."""
        record = self.records.get(handle.field)
        if record is None or record.state not in expected or token not in ("", record.token):
            return False
        self.records[handle.field] = record.patched(to, patch)
        self.events.append((handle.field, to))
        for place in self.places.values():
            place.discard(handle.field)
        if where := self._place(handle, to, patch):
            self.places[where].add(handle.field)
        if to.ended:
            self._end_job(handle) if isinstance(handle, JobHandle) else self._end_package(to)
        return True

    @staticmethod
    def _place(handle: JobHandle | PackageHandle, to: Any, patch: Patch) -> str:
        if to.in_progress or patch.waiting_for:
            return "in-progress"
        if isinstance(handle, PackageHandle):
            return "due"
        return f"queued:{handle.arch}" if to is JobState.QUEUED else ""

    def _end_job(self, job: JobHandle) -> None:
        package = job.package.field
        self.left[package] -= 1
        if self.left[package] == 0 and self.records[package].state == PackageState.BUILDING:
            self.places["due"].add(package)

    def _end_package(self, to: PackageState) -> None:
        self.open -= 1
        if not to.succeeded:
            self.ended[to] = self.ended.get(to, 0) + 1
        if self.open == 0:
            self.run = (
                RunState.FAILED
                if "failed" in self.ended
                else RunState.CANCELLED
                if self.ended
                else RunState.DONE
            )
            self.events.append(("R", self.run))


class StateMachine(RuleBasedStateMachine):
    """Random transitions, right and wrong, of the jobs and packages of one run."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        name = f"m{next(_numbers)}"
        jobs = work(FOO, "amd64", "arm64", run=name).jobs
        foo = work(FOO, arches=ARCHES[FOO], jobs=jobs, existing=(image("s390x"),))
        self.run = create_run(store, run_of(foo, work(BAR, "amd64", run=name, needs=(FOO,)), run=name))
        self.packages = [self.run.package(package) for package in ARCHES]
        self.jobs = [package.job(arch) for package in self.packages for arch in ARCHES[package.name]]
        waiting: list[PackageHandle | JobHandle] = [*self.packages, *self.jobs]
        self.model = Model(
            {handle.field: ModelRecord("waiting") for handle in waiting}
            | {self.jobs[2].field: ModelRecord("exists")},
            {self.packages[0].field: 2, self.packages[1].field: 1},
            {place: set() for place in ("queued:amd64", "queued:arm64", "in-progress", "due")},
        )
        self.model.places["due"].add(self.packages[0].field)
        self.first = {field: record.state for field, record in self.model.records.items()}

    # Any transition at all

    @rule(number=st.integers(0, 3), to=st.sampled_from(JobState), data=st.data())
    def move_any_job(self, number: int, to: JobState, data: st.DataObject) -> None:
        job = self.jobs[number]
        patch = Patch(**data.draw(_patches()))
        allowed = sources(JOB_TRANSITIONS, to)
        expected = data.draw(_narrowed(allowed, JobState), label="expected states")
        token = data.draw(self._tokens(job), label="expected token")
        self._check(move_job, job, to, patch, allowed, expected, token)

    @rule(number=st.integers(0, 1), to=st.sampled_from(PackageState), data=st.data())
    def move_any_package(self, number: int, to: PackageState, data: st.DataObject) -> None:
        package = self.packages[number]
        patch = Patch(**data.draw(_patches()))
        allowed = sources(PACKAGE_TRANSITIONS, to)
        expected = data.draw(_narrowed(allowed, PackageState), label="expected states")
        token = data.draw(self._tokens(package), label="expected token")
        self._check(move_package, package, to, patch, allowed, expected, token)

    def _check(
        self, move: Any, handle: Any, to: Any, patch: Any, allowed: Collection[str], expected: Any, token: str
    ) -> None:
        if expected is not None and not set(expected) <= set(allowed):
            with pytest.raises(ValueError, match="no transition leads from"):
                move(handle, to, patch, expected_states=expected, expected_token=token)
            return
        moved = move(handle, to, patch, expected_states=expected, expected_token=token)
        chosen = allowed if expected is None else expected
        assert bool(moved) == self.model.move(handle, to, patch, chosen, token)

    def _tokens(self, handle: JobHandle | PackageHandle) -> st.SearchStrategy[str]:
        """No token, the one that the record has, or a stale one."""
        return st.sampled_from(["", self.model.records[handle.field].token, "stale"])

    # Those that the farm makes, with the states from which it makes them

    @rule(number=st.integers(0, 1))
    def start(self, number: int) -> None:
        """As `start_package` does, without messages."""
        package = self.packages[number]
        moved = move_package(package, PackageState.BUILDING, expected_states=[PackageState.WAITING])
        assert bool(moved) == self.model.move(
            package, PackageState.BUILDING, Patch(), [PackageState.WAITING], ""
        )
        for job in self.jobs:
            if job.package == package:
                self._queue(job, [JobState.WAITING], "")

    @rule(number=st.integers(0, 3), right=st.booleans())
    def lose_or_hand_back_job(self, number: int, right: bool) -> None:
        job = self.jobs[number]
        token = self.model.records[job.field].token if right else "stale"
        assume(token)
        self._queue(job, IN_PROGRESS, token, lost=1)

    @rule(number=st.integers(0, 3))
    def dispatch_job_again(self, number: int) -> None:
        self._queue(self.jobs[number], [JobState.QUEUED], "", resent=1)

    def _queue(self, job: JobHandle, expected: list[JobState], token: str, **counts: int) -> None:
        moved = coordinator.queue_job(job, expected_states=expected, expected_token=token, **counts)
        patch = Patch(token="", **({"lost": 0} | counts))  # type: ignore[arg-type]  # numbers, all of them
        assert bool(moved) == self.model.move(job, JobState.QUEUED, patch, expected, token)

    @rule(number=st.integers(0, 3), failed=st.booleans())
    def fail_job(self, number: int, failed: bool) -> None:
        """As a worker does with its token, or the reconciler with a job that nobody accepts."""
        job, patch = self.jobs[number], Patch(error=FarmError("broken"))
        token = self.model.records[job.field].token if failed else ""
        expected = [*IN_PROGRESS] if token else [JobState.QUEUED]
        moved = move_job(job, JobState.FAILED, patch, expected_states=expected, expected_token=token)
        assert bool(moved) == self.model.move(job, JobState.FAILED, patch, expected, token)

    @rule(number=st.integers(0, 1))
    def lose_publication(self, number: int) -> None:
        package, patch = self.packages[number], Patch(token="", lost=1)
        token, expected = self.model.records[package.field].token, [PackageState.PUBLISHING]
        moved = move_package(
            package, PackageState.BUILDING, patch, expected_states=expected, expected_token=token
        )
        assert bool(moved) == self.model.move(package, PackageState.BUILDING, patch, expected, token)

    @rule(number=st.integers(0, 1))
    def settle(self, number: int) -> None:
        error = coordinator.settle(self.packages[number])
        assert bool(error) == self._model_settle(self.packages[number])
        self._read_due()

    @rule()
    def cancel_run(self) -> None:
        cancel(self.run, by="me")
        for job in self.jobs:
            self._model_end(job, JobState.CANCELLED, f"{job}: cancelled by me")
        remaining = [package for package in self.packages if not self._ended(package)]
        for package in remaining:
            if any(self.model.records[job.field].state == "failed" for job in self._jobs_of(package)):
                self._model_settle(package)
        for package in remaining:
            self._model_end(package, PackageState.CANCELLED, f"{package}: cancelled by me")
        self._read_due()

    @rule(number=st.integers(0, 1), late=st.booleans())
    def clear_due(self, number: int, late: bool) -> None:
        package, now = self.packages[number], self.run.store.now()
        clear_due(package, handled=now + LATER if late else now - LATER)
        if late:
            self.model.places["due"].discard(package.field)

    # What the coordinator does, in terms of the model

    def _jobs_of(self, package: PackageHandle) -> list[JobHandle]:
        return [job for job in self.jobs if job.package == package]

    def _ended(self, handle: PackageHandle) -> bool:
        return PackageState(self.model.records[handle.field].state).ended

    def _model_end(self, handle: JobHandle | PackageHandle, to: Any, error: str) -> bool:
        patch: Patch = Patch(error=FarmError(error))
        table: Any = JOB_TRANSITIONS if isinstance(handle, JobHandle) else PACKAGE_TRANSITIONS
        return self.model.move(handle, to, patch, sources(table, to), "")

    def _model_settle(self, package: PackageHandle) -> bool:
        records = [self.model.records[job.field] for job in self._jobs_of(package)]
        states = [JobState(record.state) for record in records]
        if not all(state.ended for state in states) or all(state.succeeded for state in states):
            return False
        failed = sorted(
            (record for record in records if not JobState(record.state).succeeded),
            key=lambda record: record.state,
            reverse=True,
        )
        self._model_end_with_dependents(package, cancelled=failed[0].error != "broken")
        return True

    def _model_end_with_dependents(self, package: PackageHandle, *, cancelled: bool) -> None:
        to = PackageState.CANCELLED if cancelled else PackageState.FAILED
        if not self._model_end(package, to, ANY_ERROR) or package.name == BAR:
            return
        bar = self.packages[1]
        for job in self._jobs_of(bar):
            self._model_end(job, JobState.CANCELLED, ANY_ERROR)
        self._model_end_with_dependents(bar, cancelled=cancelled)

    def _read_due(self) -> None:
        """Take over whether a package that ended is due: that depends on the clock's milliseconds."""
        ended = {package.field for package in self.packages if self._ended(package)}
        due: Any = self.run.store.text.zrange(self.run.key("due"), 0, -1)
        self.model.places["due"] = (self.model.places["due"] - ended) | (ended & set(due))

    # What must be so after each step

    @invariant()
    def redis_has_what_the_model_has(self) -> None:
        text, model = self.run.store.text, self.model
        pipeline = text.pipeline(transaction=False)
        for part in ("meta", "records", "left"):
            pipeline.hgetall(self.run.key(part))
        for place in model.places:
            pipeline.zrange(self.run.key(place), 0, -1)
        meta, records, left, *places = pipeline.execute()
        assert {name: _read(stored) for name, stored in records.items()} == _comparable(model.records)
        assert {name: int(count) for name, count in left.items()} == model.left
        assert [set(members) for members in places] == list(model.places.values())
        assert (meta["state"], int(meta["open"])) == (model.run, model.open)
        assert {state: int(meta[state]) for state in ("failed", "cancelled") if state in meta} == model.ended
        assert ("finished" in meta) == model.run.ended

    @invariant()
    def events_report_transitions_of_the_tables_only(self) -> None:
        entries: Any = self.run.store.text.xrange(self.run.key("events"))
        events = [(fields["record"], json.loads(fields["value"])["state"]) for _, fields in entries]
        assert events == self.model.events
        last = dict(self.first) | {"R": "open"}
        for name, state in events:
            table: Any = {"J": JOB_TRANSITIONS, "P": PACKAGE_TRANSITIONS, "R": RUN_TRANSITIONS}[name[0]]
            assert state in table[last[name]], f"{name}: {last[name]} to {state}"
            last[name] = state


def _read(text: str) -> ModelRecord:
    record: Any = parse_job(text) if "arch" in json.loads(text) else parse_package(text)
    return ModelRecord(str(record.state), record.token, record.waiting_for, record.lost, record.resent, "")


def _comparable(records: dict[str, ModelRecord]) -> dict[str, ModelRecord]:
    return {name: replace(record, state=str(record.state), error="") for name, record in records.items()}


def _patches() -> st.SearchStrategy[dict[str, Any]]:
    errors = st.sampled_from([None, FarmError("broken"), CancelledError("cancelled")])
    return st.fixed_dictionaries(
        {},
        optional={
            "token": st.sampled_from(["", "a", "b"]),
            "lost": st.integers(0, 3),
            "resent": st.integers(0, 3),
            "waiting_for": st.sampled_from(["", "r0 w"]),
            "error": errors,
        },
    )


def _narrowed(allowed: Sequence[Any], states: Iterable[Any]) -> st.SearchStrategy[list[Any] | None]:
    """No list of expected states, a part of those that are allowed, or any list."""
    parts = st.lists(st.sampled_from(allowed), unique=True) if allowed else st.none()
    return st.one_of(st.none(), parts, st.lists(st.sampled_from(list(states)), max_size=2, unique=True))


def test_the_lua_script_and_the_tables_agree(store: Store) -> None:
    bounds = settings(max_examples=60, stateful_step_count=30, deadline=None, report_multiple_bugs=False)
    run_state_machine_as_test(lambda: StateMachine(store), settings=bounds)  # type: ignore[arg-type]  # or a function
