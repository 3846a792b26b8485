"""The promises that every builder keeps on every engine."""

from __future__ import annotations

import io
import tarfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

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
from tests.integration.builders.conftest import LOGIN, WRONG_LOGIN, Bench, free_port, tar, wait_until
from tests.integration.builders.steps import is_running, sleeper

if TYPE_CHECKING:
    from pathlib import Path

ARCHES = ("amd64", "arm64", "s390x")


def test_builds_of_three_architectures_at_once_do_not_mix_up_their_images(any_bench: Bench) -> None:
    names = {arch: any_bench.name(arch=arch) for arch in ARCHES}

    def one(arch: str) -> None:
        step = "FROM BASE\nRUN echo machine=$(uname -m)\n"
        any_bench.build(step, BuildSpec(arch, no_cache=True), name=names[arch])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, ARCHES))
    for arch in ARCHES:
        assert f"machine={UNAME[arch]}" in any_bench.printed()
        assert any_bench.image(names[arch])["Architecture"] == arch


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
    api = cast("Any", any_bench.engine.api)
    assert "someone" not in f"{api.history(str(name))}{any_bench.image(name)}"


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


def test_a_failed_step_is_reported_in_one_sentence(any_bench: Bench) -> None:
    with pytest.raises(BuildFailedError) as caught:
        any_bench.build("FROM BASE\nRUN true\nRUN echo 'make: cc: not found' >&2; exit 2\n")
    assert str(caught.value) == 'RUN step 3 of 3 failed with status 2: "make: cc: not found"'


def test_a_context_without_the_dockerfile_is_reported_in_one_sentence(any_bench: Bench) -> None:
    with pytest.raises(BuildFailedError) as caught:
        any_bench.build("", BuildSpec("amd64", dockerfile="Other"))
    assert caught.value.message == "the Dockerfile is not in the build context"


def test_a_missing_base_image_is_reported_by_its_name(any_bench: Bench) -> None:
    missing = f"{any_bench.registry}/test/none:1"
    with pytest.raises(BuildFailedError, match=f"^image {missing} was not found$"):
        any_bench.build(f"FROM {missing}\n")


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


def big_context(folder: Path, base: str, size: int) -> BinaryIO:
    """A context with a file of some bytes."""
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


def test_a_context_of_100_mb_is_streamed_in_little_memory(any_bench: Bench, tmp_path: Path) -> None:
    context = big_context(tmp_path, any_bench.base, 100_000_000)
    tracemalloc.start()
    try:
        any_bench.build("", context=context)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "size=100000000" in any_bench.printed()
    assert peak < 8_000_000


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


def test_the_processes_of_a_build_that_takes_too_long_end(any_bench: Bench) -> None:
    dockerfile, mark = sleeper()
    with pytest.raises(BuildFailedError, match=r"^the build took longer than 3 s and was stopped$"):
        any_bench.build(dockerfile, timeout=3.0)
    wait_until(lambda: not is_running(mark))


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


def test_concurrent_builds_each_have_their_own_context(any_bench: Bench) -> None:
    def one(number: int) -> None:
        dockerfile = f"FROM BASE\nCOPY which /which\nRUN test $(cat /which) = context-{number}\n"
        any_bench.build(dockerfile, which=f"context-{number}\n")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))


def test_a_pushed_image_is_in_the_registry_with_its_architecture(any_bench: Bench) -> None:
    name = any_bench.name()
    any_bench.publish(name)
    with Registry(Credentials.load(any_bench.settings.docker_config), timeout=30) as registry:
        image = arch_image(registry, name, "amd64")
        first = image and image.descriptors
        any_bench.publish(name)
        again = arch_image(registry, name, "amd64")
    assert first
    assert again
    assert len(first) == 1, "attestations are off by default"
    assert again.descriptors == first


def test_private_images_are_pulled_and_pushed_with_the_workers_login(any_bench: Bench, guarded: str) -> None:
    any_bench.log_in(guarded, LOGIN)
    private = any_bench.name(guarded)
    any_bench.publish(private, "FROM BASE\nRUN echo se''cret > /secret\n")
    any_bench.builder.remove_image(private, "amd64")
    any_bench.build(f"FROM {private}\nRUN cat /secret\n")
    assert any(line.endswith(" secret") for line in any_bench.log)
    assert LOGIN.password.reveal() not in any_bench.printed()


def test_a_private_base_image_without_a_login_is_reported_as_denied(any_bench: Bench, guarded: str) -> None:
    with pytest.raises(BuildFailedError, match="access denied") as caught:
        any_bench.build(f"FROM {guarded}/test/private:1\n")
    assert caught.value.hint == "log in to the registry on the worker"


@pytest.mark.parametrize("login", [WRONG_LOGIN, None], ids=["wrong", "none"])
def test_a_push_without_the_right_login_is_reported_as_denied(
    any_bench: Bench, guarded: str, login: object
) -> None:
    if login:
        any_bench.log_in(guarded, WRONG_LOGIN)
    with pytest.raises(RegistryDeniedError) as caught:
        any_bench.publish(any_bench.name(guarded))
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
