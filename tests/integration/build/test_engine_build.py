from __future__ import annotations

import io
import tarfile
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import uuid4

import pytest

from farm.build.build import check_architecture
from farm.build.engine import Engine
from farm.build.spec import BuildSpec
from farm.errors import (
    BuildFailedError,
    CancelledError,
    EngineUnavailableError,
    InputError,
    RegistryUnavailableError,
)
from farm.model import UNAME
from tests.integration.build.conftest import LOGIN, Bench, Lab, free_port, tar, wait_until
from tests.integration.build.proxy import relay

ARCHES = ("amd64", "arm64", "s390x")


@pytest.mark.parametrize("arch", ARCHES)
def test_a_step_runs_on_the_architecture_that_was_asked_for(bench: Bench, arch: str) -> None:
    image = bench.build("FROM BASE\nRUN echo machine=$(uname -m)\n", BuildSpec(arch, no_cache=True))
    assert f"machine={UNAME[arch]}" in bench.printed()
    assert bench.engine.inspect(image)["Architecture"] == arch


def test_three_architectures_at_once_do_not_mix_up_their_images(bench: Bench) -> None:
    names = {arch: bench.name() for arch in ARCHES}

    def one(arch: str) -> str:
        spec = BuildSpec(arch, tags=(str(names[arch]),), no_cache=True)
        return bench.build("FROM BASE\nRUN uname -m > /machine\nRUN cat /machine\n", spec)

    with ThreadPoolExecutor(3) as pool:
        images = dict(zip(ARCHES, pool.map(one, ARCHES), strict=True))
    for arch in ARCHES:
        facts = bench.engine.inspect(str(names[arch]))
        assert (facts["Id"], facts["Architecture"]) == (images[arch], arch)


def test_an_image_carries_its_labels_and_is_told_its_arguments(bench: Bench) -> None:
    spec = BuildSpec(
        "amd64", labels=(("a.label", 'odd "value"'),), build_args=(("COLOUR", "blue"),), no_cache=True
    )
    image = bench.build("FROM BASE\nARG COLOUR\nRUN echo colour=$COLOUR\n", spec)
    assert "colour=blue" in bench.printed()
    assert bench.engine.inspect(image)["Config"]["Labels"]["a.label"] == 'odd "value"'


def test_proxies_reach_the_steps_and_leave_no_trace_in_the_image(bench: Bench) -> None:
    spec = BuildSpec("amd64", build_args=(("http_proxy", "http://someone:word@proxy"),), no_cache=True)
    image = bench.build("FROM BASE\nRUN echo through=$http_proxy\n", spec)
    assert "through=http://someone:word@proxy" in bench.printed()
    api = cast("Any", bench.engine.api)
    assert "someone" not in f"{api.history(image)}{bench.engine.inspect(image)}"


def test_another_dockerfile_and_another_stage_can_be_named(bench: Bench) -> None:
    spec = BuildSpec("amd64", dockerfile="docker/Other", target="first", no_cache=True)
    text = f"FROM {bench.base} AS first\nRUN echo stage-one\nFROM first\nRUN exit 1\n"
    bench.build("", spec, context=tar({"docker/Other": text}))
    assert "stage-one" in bench.printed()


def test_a_failed_step_is_told_in_one_sentence(bench: Bench) -> None:
    with pytest.raises(BuildFailedError) as caught:
        bench.build("FROM BASE\nRUN true\nRUN echo 'make: cc: not found' >&2; exit 2\n")
    assert str(caught.value) == 'RUN step 3 of 3 failed with status 2: "make: cc: not found"'


def test_a_missing_base_image_is_told_by_its_name(bench: Bench, lab: Lab) -> None:
    with pytest.raises(BuildFailedError, match=f"^image {lab.registry}/test/none:1 was not found$"):
        bench.build(f"FROM {lab.registry}/test/none:1\n")


def test_a_base_image_on_a_dead_registry_can_be_tried_again(bench: Bench) -> None:
    with pytest.raises(RegistryUnavailableError) as caught:
        bench.build(f"FROM localhost:{free_port()}/test/none:1\n")
    assert caught.value.retryable


def test_an_image_of_another_architecture_than_asked_is_refused(bench: Bench) -> None:
    image = bench.build("FROM BASE\nRUN true\n")
    with pytest.raises(BuildFailedError, match="is for amd64, not for arm64"):
        check_architecture(bench.engine, image, "arm64")


@pytest.mark.parametrize(("network", "interfaces"), [(False, {"lo"}), (True, {"lo", "eth0"})])
def test_steps_have_a_network_only_if_the_package_asks_for_it(
    bench: Bench, network: bool, interfaces: set[str]
) -> None:
    bench.build(
        "FROM BASE\nRUN echo has: $(ls /sys/class/net)\n", BuildSpec("amd64", network=network, no_cache=True)
    )
    line = next(line for line in bench.log if " has: " in line and " RUN " not in line)
    assert set(line.partition("has: ")[2].split()) & {"lo", "eth0"} == interfaces


def big_context(folder: Path, base: str, size: int) -> BinaryIO:
    """A context that is large on disk."""
    path = folder / "context.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        text = f"FROM {base}\nCOPY big /big\nRUN echo size=$(wc -c < /big)\n".encode()
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
        with (folder / "big").open("wb") as big:
            big.truncate(size)
        archive.add(folder / "big", "big")
    return path.open("rb")


def test_a_context_of_100_mb_takes_no_memory_to_speak_of(bench: Bench, tmp_path: Path) -> None:
    with big_context(tmp_path, bench.base, 100_000_000) as context:
        tracemalloc.start()
        try:
            bench.build("", context=context)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "size=100000000" in bench.printed()
    assert peak < 8_000_000


def _running(mark: str) -> bool:
    """Whether a process of a build runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes().decode(errors="replace").split("\0"):
                return True
        except OSError:
            continue
    return False


def _sleeper() -> tuple[str, str]:
    """A step that sleeps longer than any test, and the argument by which its process is found."""
    mark = str(100_000 + uuid4().int % 800_000)
    return f"FROM BASE\nRUN sleep {mark}\n", mark


def test_a_cancelled_build_really_ends(bench: Bench) -> None:
    dockerfile, mark = _sleeper()
    started: list[float] = []

    def cancelled() -> bool:
        if not started and _running(mark):
            started.append(time.monotonic())
        return bool(started)

    with pytest.raises(CancelledError):
        bench.build(dockerfile, cancelled=cancelled)
    wait_until(lambda: not _running(mark))
    assert time.monotonic() - started[0] < 5


def test_a_build_that_takes_too_long_really_ends(bench: Bench) -> None:
    dockerfile, mark = _sleeper()
    with pytest.raises(BuildFailedError, match=r"^the build took longer than 3 s and was stopped$"):
        bench.build(dockerfile, timeout=3.0)
    wait_until(lambda: not _running(mark))


def test_a_build_whose_log_cannot_be_taken_really_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    dockerfile, mark = _sleeper()

    class Broken(list[str]):
        def append(self, line: str) -> None:
            if "RUN sleep" in line:
                wait_until(lambda: _running(mark))
                raise RuntimeError(line)

    monkeypatch.setattr(bench, "log", Broken())
    with pytest.raises(RuntimeError):
        bench.build(dockerfile)
    wait_until(lambda: not _running(mark))


def test_an_engine_that_goes_away_can_be_tried_again(
    bench: Bench, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile, mark = _sleeper()
    with relay(tmp_path / "s", lab.engine_url) as way, Engine.connect(way.url, timeout=5.0) as engine:
        monkeypatch.setattr(bench, "engine", engine)

        def cut() -> None:
            wait_until(lambda: _running(mark))
            way.cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises(EngineUnavailableError) as caught:
            bench.build(dockerfile)
        cutter.join()
        monkeypatch.undo()
    assert caught.value.retryable
    wait_until(lambda: not _running(mark))


def test_a_private_base_image_is_fetched_with_the_workers_login(bench: Bench, guarded: str) -> None:
    private = bench.name(guarded)
    bench.build(
        "FROM BASE\nRUN echo secret > /secret\n", BuildSpec("amd64", tags=(str(private),), no_cache=True)
    )
    bench.push(private, LOGIN)
    bench.build(f"FROM {private}\nRUN cat /secret\n", login=LOGIN)
    assert any(line.endswith(" secret") for line in bench.log)


def test_a_private_base_image_without_a_login_is_told_as_refused(bench: Bench, guarded: str) -> None:
    with pytest.raises(BuildFailedError, match="the registry refuses access") as caught:
        bench.build(f"FROM {guarded}/test/private:1\n")
    assert caught.value.hint == "log in to the registry on the worker"


def test_an_engine_says_what_it_is_and_what_it_emulates(bench: Bench) -> None:
    info = bench.engine.info()
    assert (info.architecture, info.os) == ("amd64", "linux")
    assert {"arm64", "s390x"} <= set(bench.engine.emulated())
    assert "amd64" not in bench.engine.emulated()


def test_an_engine_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        Engine.connect(f"unix://{tmp_path}/none", timeout=1.0)
    assert caught.value.hint == "is dockerd running, and may this user talk to it?"


def test_a_url_of_no_engine_is_refused() -> None:
    with pytest.raises(InputError):
        Engine.connect("ssh://host", timeout=1.0)


def test_builds_at_the_same_time_each_have_their_own_log_and_context(lab: Lab) -> None:
    def one(number: int) -> str:
        with Engine.connect(lab.engine_url, timeout=30.0) as engine:
            bench = Bench(engine, lab.base)
            bench.build("FROM BASE\nCOPY which /which\nRUN cat /which\n", which=f"context {number}\n")
            return bench.printed()

    with ThreadPoolExecutor(4) as pool:
        logs: list[str] = list(pool.map(one, range(4)))
    for number, log in enumerate(logs):
        assert [other for other in range(4) if f"context {other}" in log] == [number]
