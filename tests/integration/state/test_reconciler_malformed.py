"""A run that cannot be read, perhaps of a later version, does not keep others from being reconciled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from farm.scheduling import reconciler
from tests.integration.state.conftest import let_time_pass, reconciling
from tests.integration.state.steps import begin
from tests.support.farm_command import wait_until
from tests.support.values import work

if TYPE_CHECKING:
    from tests.integration.state.conftest import Farm

FOO, BAR = "linuxkit/foo", "linuxkit/bar"
RECORD = ("farm:{r1}:records", f"J {FOO} amd64")
MALFORMED = ['{"arch": "amd64", "state": "of-a-later-version"}', "no JSON", "[]"]


@pytest.fixture(autouse=True)
def lost(farm: Farm) -> None:
    """r1 and r2 were sent, and all of their messages lost."""
    farm.submit(work(FOO, "amd64"))
    farm.submit(work(BAR, "arm64", run="r2"), run="r2")
    assert len(farm.arches("amd64", "arm64")) == 2


def reconcile_both(farm: Farm, reported: set[str]) -> list[str]:
    """Reconcile once, after a minute without any change; returns what of r2 was sent again."""
    farm.reconcile("r1", "r2", reported=reported)
    return farm.arches("arm64")


@pytest.mark.parametrize("in_progress", [False, True])
@pytest.mark.parametrize("malformed", [*MALFORMED, None])
def test_a_malformed_record_is_reported_once_and_the_other_run_is_reconciled(
    farm: Farm, caplog: pytest.LogCaptureFixture, malformed: str | None, in_progress: bool
) -> None:
    if in_progress:
        begin(farm.job)
    farm.store.text.hdel(*RECORD)
    if malformed is not None:
        farm.store.text.hset(*RECORD, malformed)
    reported: set[str] = set()
    assert reconcile_both(farm, reported) == [f"{BAR} arm64"]
    reconcile_both(farm, reported)
    assert caplog.text.count("r1 was not reconciled") == 1


def test_a_run_in_an_unknown_state_is_reported_and_the_other_run_is_reconciled(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    farm.store.text.hset("farm:{r1}:meta", "state", "paused")
    assert reconcile_both(farm, set()) == [f"{BAR} arm64"]
    assert "r1 was not reconciled: ValueError: unknown state of a run: paused" in caplog.text


def test_the_reconciler_continues_after_an_internal_error(
    farm: Farm, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_time_pass(farm.store, "r2")

    def fail_once(*_: object, **__: object) -> NoReturn:
        monkeypatch.undo()
        raise TypeError("unexpected")

    monkeypatch.setattr(reconciler, "read_overdue", fail_once)
    with reconciling(farm):
        wait_until(lambda: f"{BAR} arm64" in farm.arches("arm64"))
    assert caplog.text.count("TypeError: unexpected") == 1
