"""The promises that every builder keeps on every engine."""

from __future__ import annotations

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import docker.errors
import pytest

from farm.builders.builder import BuildSpec
from farm.errors import (
    BuildFailedError,
    CancelledError,
    RegistryDeniedError,
    RegistryUnavailableError,
)
from farm.model import UNAME
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.published_images import arch_image
from lab.process import free_port
from tests.integration.builders.conftest import (
    LOGIN,
    WRONG_LOGIN,
    Bench,
    is_running,
    sleeper,
    tar,
    wait_until,
)

if TYPE_CHECKING:
    from farm.model import Reference
    from lab.lab import Lab

LARGE = 32_000_000
ON_ONE_ENGINE = pytest.mark.parametrize("any_bench", ["engine", "buildx"], indirect=True)
"""For what this process does, whatever the engine: limit its memory, notice the time, stop after an error."""


def test_builds_at_the_same_time_mix_up_neither_their_contexts_nor_their_architectures(
    any_bench: Bench,
) -> None:
    names = [(arch, any_bench.name(arch=arch)) for arch in ("amd64", "amd64", "arm64", "s390x")]
    dockerfile = "FROM BASE\nCOPY which /which\nRUN echo $(cat /which) on machine=$(uname -m)\n"

    def one(arch: str, name: Reference) -> None:
        any_bench.build(dockerfile, BuildSpec(arch, no_cache=True), name=name, which=f"context={name}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, *zip(*names, strict=True)))
    for arch, name in names:
        assert f"context={name} on machine={UNAME[arch]}" in any_bench.printed()
        assert any_bench.image(name)["Architecture"] == arch


def test_an_image_has_its_labels_and_a_build_its_arguments(any_bench: Bench) -> None:
    spec = BuildSpec(
        "amd64", labels=(("a.label", 'a "value", a=b'),), build_args=(("COLOUR", "a b"),), no_cache=True
    )
    name = any_bench.build('FROM BASE\nARG COLOUR\nRUN echo "colour=$COLOUR"\n', spec)
    assert "colour=a b" in any_bench.printed()
    assert any_bench.image(name)["Config"]["Labels"]["a.label"] == 'a "value", a=b'


@pytest.mark.parametrize("known", [True, False], ids=["the worker's", "the job's"])
def test_proxies_reach_the_steps_and_leave_no_trace_in_the_image(
    any_bench: Bench, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    proxy = "http://someone:word@proxy"
    if known:
        monkeypatch.setenv("http_proxy", proxy)
    spec = BuildSpec("amd64", build_args=(("http_proxy", proxy),), no_cache=True)
    name = any_bench.build("FROM BASE\nRUN echo through=$http_proxy\n", spec)
    assert f"through={proxy}" in any_bench.printed()
    assert "someone" not in f"{any_bench.engine.api.history(str(name))}{any_bench.image(name)}"


def test_another_dockerfile_and_another_stage_can_be_built(any_bench: Bench) -> None:
    spec = BuildSpec("amd64", dockerfile="docker/Other", target="first", no_cache=True)
    text = f"FROM {any_bench.base} AS first\nRUN echo stage-one\nFROM first\nRUN exit 1\n"
    any_bench.build("", spec, context=tar({"docker/Other": text}))
    assert "stage-one" in any_bench.printed()


def test_the_build_cache_is_used_unless_the_package_disables_it(any_bench: Bench) -> None:
    step = "FROM BASE\nRUN echo run: $(cat /proc/sys/kernel/random/uuid)\n"
    for no_cache in (True, False, True):
        any_bench.build(step, BuildSpec("amd64", no_cache=no_cache))
    assert len({line for line in any_bench.log if " run: " in line and "RUN" not in line}) == 2


FAILURES = {
    'RUN step 3 of 3 failed with status 2: "make: cc: not found"': (
        "FROM BASE\nRUN true\nRUN echo 'make: cc: not found' >&2; exit 2\n"
    ),
    "the Dockerfile is not in the build context": "",
    "image REGISTRY/test/none:1 was not found": "FROM REGISTRY/test/none:1\n",
}


@pytest.mark.parametrize("sentence", FAILURES)
def test_a_failure_is_reported_in_one_sentence(any_bench: Bench, sentence: str) -> None:
    dockerfile = FAILURES[sentence].replace("REGISTRY", any_bench.registry)
    with pytest.raises(BuildFailedError) as caught:
        any_bench.build(dockerfile, context=None if dockerfile else tar({"other": ""}))
    assert caught.value.message == sentence.replace("REGISTRY", any_bench.registry)


def test_a_base_image_on_an_unreachable_registry_can_be_retried(any_bench: Bench) -> None:
    with pytest.raises(RegistryUnavailableError) as caught:
        any_bench.build(f"FROM localhost:{free_port()}/test/none:1\n")
    assert caught.value.retryable


@pytest.mark.parametrize(("network", "interfaces"), [(False, {"lo"}), (True, {"lo", "eth0"})])
def test_steps_have_a_network_only_if_the_package_asks_for_it(
    any_bench: Bench, network: bool, interfaces: set[str]
) -> None:
    spec = BuildSpec("amd64", network=network, no_cache=True)
    any_bench.build("FROM BASE\nRUN echo has: $(ls /sys/class/net)\n", spec)
    line = next(line for line in any_bench.log if " has: " in line and " RUN " not in line)
    assert set(line.partition("has: ")[2].split()) & {"lo", "eth0"} == interfaces


@ON_ONE_ENGINE
def test_a_large_context_is_streamed_in_little_memory(any_bench: Bench) -> None:
    dockerfile = f"FROM {any_bench.base}\nCOPY big /big\nRUN echo size=$(wc -c < /big)\n"
    context = tar({"Dockerfile": dockerfile, "big": "x" * LARGE})
    tracemalloc.start()
    try:
        any_bench.build("", context=context)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"size={LARGE}" in any_bench.printed()
    assert peak < LARGE / 4


def test_the_processes_of_a_cancelled_build_end(any_bench: Bench) -> None:
    dockerfile, mark = sleeper()
    started: list[float] = []

    def cancelled() -> bool:
        if not started and is_running(mark):
            started.append(time.monotonic())
        return bool(started)

    with pytest.raises(CancelledError):
        any_bench.build(dockerfile, cancelled=cancelled)
    wait_until(lambda: not is_running(mark))
    assert time.monotonic() - started[0] < 5


@ON_ONE_ENGINE
def test_the_processes_of_a_build_that_takes_too_long_end(any_bench: Bench) -> None:
    dockerfile, mark = sleeper()
    with pytest.raises(BuildFailedError, match=r"^the build took longer than 3 s and was stopped$"):
        any_bench.build(dockerfile, timeout=3.0)
    wait_until(lambda: not is_running(mark))


@ON_ONE_ENGINE
def test_the_processes_of_a_build_whose_log_cannot_be_written_end(
    any_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile, mark = sleeper()

    class Broken(list[str]):
        def append(self, line: str) -> None:
            if "RUN sleep" in line:
                wait_until(lambda: is_running(mark))
                raise RuntimeError(line)

    monkeypatch.setattr(any_bench, "log", Broken())
    with pytest.raises(RuntimeError):
        any_bench.build(dockerfile)
    wait_until(lambda: not is_running(mark))


def test_a_pushed_image_is_in_the_registry_with_its_architecture(any_bench: Bench) -> None:
    name = any_bench.name()
    any_bench.publish(name)
    with Registry(Credentials.load(any_bench.settings.docker_config), timeout=30) as registry:
        first = arch_image(registry, name, "amd64")
        any_bench.publish(name)
        assert first == arch_image(registry, name, "amd64")
    assert first
    assert len(first.descriptors) == 1, "attestations are off by default"


def test_private_images_are_pulled_and_pushed_with_the_workers_login(any_bench: Bench, lab: Lab) -> None:
    any_bench.log_in(lab.guarded_registry, LOGIN)
    private = any_bench.name(lab.guarded_registry)
    any_bench.publish(private, "FROM BASE\nRUN echo se''cret > /secret\n")
    any_bench.builder.remove_image(private, "amd64")
    any_bench.build(f"FROM {private}\nRUN cat /secret\n")
    assert any(line.endswith(" secret") for line in any_bench.log)
    assert LOGIN.password.reveal() not in any_bench.printed()


def test_a_private_base_image_without_a_login_is_reported_as_denied(any_bench: Bench, lab: Lab) -> None:
    with pytest.raises(BuildFailedError, match="access denied") as caught:
        any_bench.build(f"FROM {lab.guarded_registry}/test/private:1\n")
    assert caught.value.hint == "log in to the registry on the worker"


@pytest.mark.parametrize("login", [WRONG_LOGIN, None], ids=["wrong", "none"])
def test_a_push_without_the_right_login_is_reported_as_denied(
    any_bench: Bench, lab: Lab, login: object
) -> None:
    if login:
        any_bench.log_in(lab.guarded_registry, WRONG_LOGIN)
    with pytest.raises(RegistryDeniedError) as caught:
        any_bench.publish(any_bench.name(lab.guarded_registry))
    assert not caught.value.retryable
    assert "wrong" not in str(caught.value)


def test_a_push_to_an_unreachable_registry_can_be_retried(any_bench: Bench) -> None:
    with pytest.raises(RegistryUnavailableError) as caught:
        any_bench.publish(any_bench.name(f"localhost:{free_port()}"))
    assert caught.value.retryable


def test_a_removed_tag_is_gone_from_the_engine_and_can_be_removed_again(any_bench: Bench) -> None:
    name = any_bench.build("FROM BASE\nRUN true\n")
    any_bench.builder.remove_image(name, "amd64")
    with pytest.raises(docker.errors.ImageNotFound):
        any_bench.engine.api.tag(str(name), "nothing")
    any_bench.builder.remove_image(name, "amd64")


@pytest.mark.parametrize("any_bench", ["engine-26", "buildx-26-containerd"], indirect=True)
def test_the_times_in_an_image_are_given_and_another_time_builds_no_step_again(any_bench: Bench) -> None:
    """The Dockerfile of engines before 23.0 ignores them; the times of files are in other tests."""
    made = []
    for second in (1_600_000_000, 1_600_000_001):
        spec = BuildSpec("amd64", build_args=(("SOURCE_DATE_EPOCH", str(second)),))
        name = any_bench.build("FROM BASE\nRUN cat /proc/uptime > /uptime\n", spec)
        made.append(any_bench.image(name))
    assert [one["Created"] for one in made] == ["2020-09-13T12:26:40Z", "2020-09-13T12:26:41Z"]
    assert made[0]["RootFS"] == made[1]["RootFS"]
