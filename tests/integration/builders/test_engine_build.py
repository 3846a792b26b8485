"""The promises of the engine builder and of the engine client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from farm.builders.docker_engine import Engine
from farm.builders.engine_builder import EngineBuilder, check_architecture
from farm.errors import BuildFailedError, EngineUnavailableError, InputError
from tests.integration.builders.conftest import Bench, wait_until
from tests.integration.builders.steps import is_running, sleeper
from tests.support.proxy.tcp import proxy

if TYPE_CHECKING:
    from pathlib import Path

    from lab.lab import Lab


def test_an_image_of_another_architecture_is_refused(bench: Bench) -> None:
    name = bench.build("FROM BASE\nRUN true\n")
    with pytest.raises(BuildFailedError, match="is for amd64, not for arm64"):
        check_architecture(bench.engine, str(name), "arm64")


def test_a_build_whose_engine_is_lost_can_be_retried(
    bench: Bench, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile, mark = sleeper()
    with (
        proxy(lab.engine_url, socket=tmp_path / "s") as proxied,
        Engine.connect(proxied.address, timeout=5.0) as engine,
    ):
        monkeypatch.setattr(bench, "builder", EngineBuilder(engine, lambda _: None))

        def cut() -> None:
            wait_until(lambda: is_running(mark))
            proxied.cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises(EngineUnavailableError) as caught:
            bench.build(dockerfile)
        cutter.join()
        monkeypatch.undo()
    assert caught.value.retryable
    wait_until(lambda: not is_running(mark))


def test_an_engine_reports_its_architecture_and_those_it_emulates(any_bench: Bench) -> None:
    info = any_bench.engine.info()
    assert (info.architecture, info.os) == ("amd64", "linux")
    assert {"arm64", "s390x"} <= set(any_bench.engine.emulated())
    assert "amd64" not in any_bench.engine.emulated()


def test_an_unavailable_engine_is_reported_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        Engine.connect(f"unix://{tmp_path}/none", timeout=1.0)
    assert caught.value.hint == "is dockerd running, and may this user talk to it?"


def test_an_unsupported_url_is_refused() -> None:
    with pytest.raises(InputError):
        Engine.connect("ssh://host", timeout=1.0)
