"""Table and Lua script side by side: after every step, Redis has what a model made of the tables has."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from farm.errors import CancelledError, FarmError
from farm.model import JobState, PackageState, RunState
from farm.model.states import JOB_TRANSITIONS, PACKAGE_TRANSITIONS, sources
from farm.scheduling import coordinator
from farm.scheduling.cancel import cancel
from farm.state.records import JobPatch, PackagePatch, Patch, parse_job, parse_package
from farm.state.run_handles import JobHandle, PackageHandle
from farm.state.runs import create_run
from farm.state.transitions import clear_due, move_job, move_package
from tests.support.values import image, ordered, run_of, work

if TYPE_CHECKING:
    from collections.abc import Collection

    from farm.state.store import Store

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
ARCHES = {FOO: ("amd64", "arm64", "s390x"), BAR: ("amd64",)}
"""foo's image for s390x exists already; bar depends on foo."""
LATER = 60.0
_numbers = itertools.count(1)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "token": st.sampled_from([None, "", "a", "b"]),
    "lost": st.none() | st.integers(0, 3),
    "resent": st.integers(0, 3),
    "waiting_for": st.sampled_from(["", "r0 w"]),
    "lease": st.sampled_from([None, "a lease"]),
    "error": st.sampled_from([None, FarmError("broken", hint='"é\n"'), CancelledError("cancelled")]),
}
_JOB_PATCHES = st.builds(
    JobPatch,
    **_FIELDS,
    worker=st.sampled_from([None, "w1", "w2"]),
    started=st.sampled_from([None, 12.5]),
    image=st.sampled_from([None, image("amd64")]),
)
_PACKAGE_PATCHES = st.builds(
    PackagePatch, **_FIELDS, index=st.sampled_from([None, image("amd64").descriptors[0]])
)
_PATCHES = st.one_of(
    st.tuples(st.sampled_from([f"P {package}" for package in ARCHES]), _PACKAGE_PATCHES),
    st.tuples(
        st.sampled_from([f"J {package} {arch}" for package, arches in ARCHES.items() for arch in arches]),
        _JOB_PATCHES,
    ),
)
"""A record's name, and a patch for it."""


@dataclass
class Model:
    """A run in plain Python: what the Lua script does, in terms of the tables."""

    records: dict[str, Any]
    left: dict[str, int]
    places: dict[str, set[str]]
    """queued:ARCH, requeued, in-progress and due: the records in each."""
    ended: dict[str, int] = field(default_factory=dict)
    open: int = 2
    run: RunState = RunState.OPEN
    events: list[tuple[str, str]] = field(default_factory=list)

    def move(
        self, handle: JobHandle | PackageHandle, to: Any, patch: Patch, expected: Collection[str], token: str
    ) -> bool:
        """Make a transition if the record is as expected."""
        record = self.records[handle.field]
        if record.state not in expected or token not in ("", record.token):
            return False
        values = {
            item.name: getattr(patch, item.name) for item in fields(patch) if hasattr(record, item.name)
        }
        written = {name: value for name, value in values.items() if name == "error" or value is not None}
        self.records[handle.field] = replace(record, state=to, **written)
        self.events.append((handle.field, to))
        for place in self.places.values():
            place.discard(handle.field)
        if where := self._place(handle, record.state, to, patch):
            self.places[where].add(handle.field)
        if to.ended:
            self._end_job(handle) if isinstance(handle, JobHandle) else self._end_package(to)
        return True

    @staticmethod
    def _place(handle: JobHandle | PackageHandle, before: Any, to: Any, patch: Patch) -> str:
        if to.in_progress or patch.waiting_for:
            return "in-progress"
        if isinstance(handle, PackageHandle):
            return "due"
        if to is not JobState.QUEUED:
            return ""
        return f"queued:{handle.arch}" if before is JobState.WAITING else "requeued"

    def _end_job(self, job: JobHandle) -> None:
        package = job.package.field
        self.left[package] -= 1
        if self.left[package] == 0 and self.records[package].state is PackageState.BUILDING:
            self.places["due"].add(package)

    def _end_package(self, to: PackageState) -> None:
        self.open -= 1
        if not to.succeeded:
            self.ended[to] = self.ended.get(to, 0) + 1
        if self.open == 0:
            self.run = next(
                (end for end in (RunState.FAILED, RunState.CANCELLED) if end in self.ended), RunState.DONE
            )
            self.events.append(("R", self.run))


class StateMachine(RuleBasedStateMachine):
    """Random transitions, right and wrong, of the jobs and packages of one run."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        name = f"m{next(_numbers)}"
        jobs = work(FOO, "amd64", "arm64", run=name).jobs
        foo = work(FOO, arches=ARCHES[FOO], jobs=jobs, existing=(image("s390x"),))
        self.run = create_run(
            store, ordered(run_of(foo, work(BAR, "amd64", run=name, needs=(FOO,)), run=name))
        )
        self.packages = [self.run.package(package) for package in ARCHES]
        self.jobs = [package.job(arch) for package in self.packages for arch in ARCHES[package.name]]
        handles: list[Any] = [*self.packages, *self.jobs]
        self.handles = {handle.field: handle for handle in handles}
        left = {self.packages[0].field: 2, self.packages[1].field: 1}
        places: dict[str, set[str]] = {
            place: set() for place in ("queued:amd64", "queued:arm64", "requeued", "in-progress", "due")
        }
        places["due"].add(self.packages[0].field)
        self.model = Model(self._stored(), left, places)

    @rule(change=_PATCHES, data=st.data())
    def move_as_the_table_says(self, change: tuple[str, Patch], data: st.DataObject) -> None:
        name, patch = change
        record = self.model.records[name]
        following = list(_table(name)[record.state])
        assume(following)
        to = data.draw(st.sampled_from(following), label="to")
        token = data.draw(st.sampled_from(["", record.token]), label="expected token")
        assert self._move(name, to, patch, [record.state], token)

    @rule(change=_PATCHES, data=st.data())
    def move_at_random(self, change: tuple[str, Patch], data: st.DataObject) -> None:
        """With any expected states, and no token, that of the record or a stale one."""
        name, patch = change
        states = list(_table(name))
        to = data.draw(st.sampled_from(states), label="to")
        some = st.lists(st.sampled_from(states), max_size=2, unique=True)
        expected = data.draw(st.none() | some, label="expected states")
        tokens = st.sampled_from(["", self.model.records[name].token, "stale"])
        token = data.draw(tokens, label="expected token")
        if set(expected or ()) <= set(sources(_table(name), to)):
            self._move(name, to, patch, expected, token)
            return
        with pytest.raises(ValueError, match=f"no transition leads from .* to {to}"):
            self._move(name, to, patch, expected, token)

    def _move(self, name: str, to: Any, patch: Patch, expected: list[Any] | None, token: str) -> bool:
        """Make a transition in Redis and in the model, where it must have the same outcome."""
        handle = self.handles[name]
        move: Any = move_job if isinstance(handle, JobHandle) else move_package
        moved = move(handle, to, patch, expected_states=expected, expected_token=token)
        allowed = sources(_table(name), to) if expected is None else expected
        assert bool(moved) == self.model.move(handle, to, patch, allowed, token)
        assert not moved or abs(moved.at - self.run.store.now()) < 5
        return bool(moved)

    @rule(number=st.integers(0, 1))
    def settle(self, number: int) -> None:
        package = self.packages[number]
        was = self.model.records[package.field].state
        states = [self.model.records[job.field].state for job in self.jobs if job.package == package]
        error = coordinator.settle(package)
        over = all(state.ended for state in states) and not all(state.succeeded for state in states)
        assert bool(error) == over
        self._follow()
        if error and not was.ended:
            end = "cancelled" if isinstance(error, CancelledError) else "failed"
            assert self.model.records[package.field].state == end
            assert all(self.model.records[one.field].state.ended for one in self.packages[number:])

    @rule()
    def cancel_run(self) -> None:
        cancel(self.run, by="me")
        self._follow()
        assert all(record.state.ended for record in self.model.records.values())

    @rule(number=st.integers(0, 1), late=st.booleans())
    def clear_due(self, number: int, late: bool) -> None:
        package, now = self.packages[number], self.run.store.now()
        clear_due(package.run, [package], handled=now + LATER if late else now - LATER)
        if late:
            self.model.places["due"].discard(package.field)

    def _follow(self) -> None:
        """Let the model make the transitions that the coordinator has made."""
        for name, value in self._events()[len(self.model.events) :]:
            if name != "R":
                record = _parse(name, value)
                allowed, patch = sources(_table(name), record.state), Patch(error=record.error)
                assert self.model.move(self.handles[name], record.state, patch, allowed, "")
        # Whether a package that ended is due depends on the clock's milliseconds.
        ended = {one.field for one in self.packages if self.model.records[one.field].state.ended}
        due: Any = self.run.store.text.zrange(self.run.key("due"), 0, -1)
        self.model.places["due"] = (self.model.places["due"] - ended) | (ended & set(due))

    def _events(self) -> list[tuple[str, str]]:
        entries: Any = self.run.store.text.xrange(self.run.key("events"))
        return [(entry["record"], entry["value"]) for _, entry in entries]

    def _stored(self) -> dict[str, Any]:
        stored: Any = self.run.store.text.hgetall(self.run.key("records"))
        return {name: _parse(name, text) for name, text in stored.items()}

    @invariant()
    def redis_has_what_the_model_has(self) -> None:
        model = self.model
        assert _comparable(self._stored()) == _comparable(model.records)
        pipeline = self.run.store.text.pipeline(transaction=False)
        for part in ("meta", "left"):
            pipeline.hgetall(self.run.key(part))
        for place in model.places:
            pipeline.zrange(self.run.key(place), 0, -1)
        meta, left, *places = pipeline.execute()
        assert {name: int(count) for name, count in left.items()} == model.left
        assert [set(members) for members in places] == list(model.places.values())
        assert (meta["state"], int(meta["open"])) == (model.run, model.open)
        assert {state: int(meta[state]) for state in ("failed", "cancelled") if state in meta} == model.ended
        assert ("finished" in meta) == model.run.ended

    @invariant()
    def each_transition_was_reported_once_and_in_order(self) -> None:
        reported = [(name, json.loads(value)["state"]) for name, value in self._events()]
        assert reported == self.model.events


def _table(name: str) -> Any:
    """The transitions of a record."""
    return JOB_TRANSITIONS if name.startswith("J ") else PACKAGE_TRANSITIONS


def _parse(name: str, text: str) -> Any:
    return parse_job(text) if name.startswith("J ") else parse_package(text)


def _comparable(records: dict[str, Any]) -> dict[str, Any]:
    """All fields of records but their time."""
    return {
        name: (replace(record, at=0.0, error=None), record.error and record.error.to_json())
        for name, record in records.items()
    }


def test_the_lua_script_and_the_tables_agree(store: Store) -> None:
    bounds = settings(max_examples=60, stateful_step_count=30, deadline=None, report_multiple_bugs=False)
    run_state_machine_as_test(lambda: StateMachine(store), settings=bounds)  # type: ignore[arg-type]  # or a function
