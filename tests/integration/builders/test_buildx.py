"""Features that only buildx has, and effects that it must not have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.builders.builder import BuildSpec, Control
from farm.builders.choice import check_builders, choose_builder, describe_builder
from farm.builders.docker_engine import Engine
from farm.builders.pruning import prune
from farm.errors import EngineUnavailableError, FarmError, InputError
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import is_attestation
from farm.registry.published_images import arch_image
from farm.settings import Settings
from lab.engine import CONTAINERD
from tests.integration.builders.conftest import (
    Bench,
    OpenBench,
    command_lines,
    is_running,
    open_bench,
    sleeper,
    tar,
    wait_until,
)
from tests.support.buildx import install_buildx, make_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab
    from tests.conftest import Engines

READ = "FROM BASE\nRUN --mount=type=secret,id=one --mount=type=secret,id=two wc -c /run/secrets/*\n"


def in_any_process(text: str) -> bool:
    """Whether a text is on the command line of any process."""
    return any(text in line for _, line in command_lines())


def test_secrets_reach_only_the_steps_that_ask_for_them(
    opened: OpenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one, with a comma").write_text("first-word")
    monkeypatch.setenv("A_SECRET", "second-word!")
    secrets = (("one", str(tmp_path / "one, with a comma")), ("two", "env:A_SECRET"))
    seen: list[str] = []

    def look() -> bool:
        seen.extend(word for word in ("first-word", "second-word") if in_any_process(word))
        return False

    with opened(build_secrets=secrets) as bench:
        name = bench.build(READ, BuildSpec("amd64", no_cache=True), cancelled=look)
        assert " 10 /run/secrets/one" in bench.printed()
        assert " 12 /run/secrets/two" in bench.printed()
        image = f"{bench.image(name)}{bench.engine.api.history(str(name))}"
    assert not seen
    assert not [word for word in ("first-word", "second-word") if word in image + bench.printed()]


def test_steps_can_use_the_workers_ssh_key_without_a_copy_of_it(opened: OpenBench, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    make = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(key)]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    with opened(build_ssh=(f"default={key}",)) as bench:
        bench.build('FROM BASE\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n')
        with pytest.raises(FarmError):
            bench.build('FROM BASE\nRUN test -S "$SSH_AUTH_SOCK"\n')


@pytest.fixture
def containerd(lab: Lab, engines: Engines, tmp_path: Path) -> Iterator[Bench]:
    """A bench whose engine supports attestations and caches."""
    cache = (f"{lab.registry}/cache/{{name}}:{{arch}}",)
    url = engines(CONTAINERD)
    with open_bench(
        lab, url, tmp_path, provenance="min", build_cache_from=cache, build_cache_to=cache
    ) as bench:
        yield bench


def test_a_worker_uses_what_another_one_built_from_the_cache_in_the_registry(containerd: Bench) -> None:
    name, step = containerd.name(), "FROM BASE\nRUN cat /proc/sys/kernel/random/uuid > /run\n"
    containerd.build(step, BuildSpec("amd64"), name=name)
    containerd.builder.remove_image(name, "amd64")
    prune(containerd.engine, keep=0)
    containerd.log.clear()
    containerd.build(step, BuildSpec("amd64"), name=name)
    assert any(line.endswith(" CACHED") for line in containerd.log)


def test_a_failed_step_is_reported_even_if_the_cache_is_missing_too(containerd: Bench) -> None:
    with pytest.raises(FarmError, match=r"^RUN step 2 of 2 failed with status 7 "):
        containerd.build("FROM BASE\nRUN exit 7\n")


def test_attestations_are_pushed_with_the_image_under_its_architecture_tag(containerd: Bench) -> None:
    name = containerd.build("FROM BASE\nRUN true\n")
    with Registry(Credentials(Path("none")), timeout=30) as registry:
        image = arch_image(registry, name, "amd64")
    assert image
    assert [is_attestation(member) for member in image.descriptors] == [False, True]


def test_a_platform_is_built_on_the_engine_of_its_docker_context(
    lab: Lab, engines: Engines, opened: OpenBench
) -> None:
    far = engines(CONTAINERD)
    with (
        opened(builders=(("linux/arm64", "far"),)) as bench,
        Engine.connect(far, timeout=30.0) as engine,
    ):
        make_context(lab, bench.settings.docker_config, "far", far)
        assert check_builders(bench.settings, bench.engine.info, ["arm64"]) == ("arm64",)
        name = bench.build("FROM BASE\nRUN true\n", BuildSpec("arm64"))
        assert engine.inspect(str(name))["Architecture"] == "arm64"
        with pytest.raises(FarmError):
            bench.image(name)
        bench.builder.remove_image(name, "arm64")
        with pytest.raises(FarmError):
            engine.inspect(str(name))
        assert not (bench.settings.docker_config / "buildx").exists(), "buildx wrote to docker's own"


@pytest.mark.parametrize(
    ("builder", "kind", "reason"),
    [("none", InputError, 'no builder "none" found'), ("gone", EngineUnavailableError, "Cannot connect")],
)
def test_a_builder_that_does_not_exist_or_answer_is_reported_when_the_worker_starts(
    lab: Lab, opened: OpenBench, builder: str, kind: type[FarmError], reason: str
) -> None:
    with opened(builders=(("linux/arm64", builder),)) as bench:
        make_context(lab, bench.settings.docker_config, "gone", "unix:///none")
        with pytest.raises(kind, match=f"^the builder {builder} cannot be used: {reason}"):
            check_builders(bench.settings, bench.engine.info, ["arm64"])


def test_attestations_are_refused_when_the_worker_starts_where_its_engine_cannot_make_them(
    opened: OpenBench,
) -> None:
    with (
        opened(sbom="true") as bench,
        pytest.raises(InputError, match=r"^this engine's image store does not support sbom"),
    ):
        check_builders(bench.settings, bench.engine.info, ["amd64"])


def test_an_unavailable_engine_can_be_retried(opened: OpenBench, tmp_path: Path) -> None:
    with opened(builder="buildx") as bench:
        gone = replace(bench.settings, engine=f"unix://{tmp_path}/none")
        bench.builder = choose_builder(gone, bench.engine, lambda _: None)
        with pytest.raises(EngineUnavailableError) as caught:
            bench.build("FROM BASE\n")
    assert caught.value.retryable


WORKER = """
import sys
from pathlib import Path
from tests.integration.builders import test_buildx
test_buildx.build_until_killed(*sys.argv[1:])
"""


def build_until_killed(url: str, home: str, base: str, name: str, mark: str) -> None:
    """Build as a worker does, until killed."""
    docker_config, state_dir = Path(home, "docker"), Path(home, "state")
    settings = Settings(engine=url, builder="buildx", docker_config=docker_config, state_dir=state_dir)
    with Engine.connect(url, timeout=30.0) as engine:
        builder = choose_builder(settings, engine, lambda _: None)
        context = tar({"Dockerfile": f"FROM {base}\nRUN sleep {mark.removeprefix('mark=')}\n"})
        spec = BuildSpec("amd64", tags=(name,))
        builder.build(spec, context, Control(lambda _: None, 600.0))


def test_a_killed_workers_build_ends_and_its_directory_is_removed_later(
    lab: Lab, opened: OpenBench, tmp_path: Path
) -> None:
    install_buildx(tmp_path / "docker")
    _, mark = sleeper()
    words = [lab.engine_url, str(tmp_path), lab.base, f"{lab.registry}/test/killed:1", f"mark={mark}"]
    with subprocess.Popen([sys.executable, "-c", WORKER, *words]) as worker:
        try:
            wait_until(lambda: is_running(mark), seconds=60.0)
        finally:
            worker.send_signal(signal.SIGKILL)
    wait_until(lambda: not in_any_process(f"{tmp_path}/docker/cli-plugins"))
    wait_until(lambda: not is_running(mark))
    (left,) = (tmp_path / "state" / "buildx").glob("*/")
    with opened(builder="buildx") as bench:
        bench.build("FROM BASE\n")
    assert not left.exists()
    assert not list((tmp_path / "state" / "buildx").glob("*/"))


def test_a_killed_buildx_process_can_be_retried(opened: OpenBench, tmp_path: Path) -> None:
    dockerfile, mark = sleeper()

    def kill() -> None:
        wait_until(lambda: is_running(mark))
        for process, line in command_lines():
            if str(tmp_path / "docker" / "cli-plugins") in line:
                os.kill(process, signal.SIGKILL)

    with opened(builder="buildx") as bench:
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(EngineUnavailableError, match=r"^docker buildx was killed by signal 9$") as caught:
            bench.build(dockerfile)
        killer.join()
    assert caught.value.retryable
    wait_until(lambda: not is_running(mark))


def test_a_builder_is_described_with_its_version_and_reason(tmp_path: Path) -> None:
    install_buildx(tmp_path / "docker")
    settings = Settings(provenance="min", docker_config=tmp_path / "docker")
    assert describe_builder(settings) == "buildx 0.13.1 (for provenance)"
