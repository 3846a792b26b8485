"""The promises of the engine builder, and of what else uses the engine: pushes, pruning, `depends`."""

from __future__ import annotations

import tempfile
import threading
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from farm.builders.build_cache import list_cache, prune_cache
from farm.builders.builder import BuildSpec, Control
from farm.builders.depends_images import with_depends_images
from farm.builders.docker_engine import Engine
from farm.builders.engine_builder import EngineBuilder, check_architecture
from farm.builders.engine_push import push
from farm.builders.pruning import prune
from farm.errors import (
    BuildFailedError,
    EngineUnavailableError,
    InputError,
    RegistryUnavailableError,
    TemporaryFullError,
)
from farm.model import DockerImages
from farm.registry.client import open_registry
from tests.integration.builders.conftest import Bench, is_running, sleeper, tar, wait_until
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import silence
from tests.support.proxy.tcp import proxy
from tests.support.small_disk import small_disk

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
    assert any_bench.engine.info().architecture == "amd64"
    assert {"arm64", "s390x"} <= set(any_bench.engine.emulated())
    assert "amd64" not in any_bench.engine.emulated()


def test_an_unavailable_engine_is_reported_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        Engine.connect(f"unix://{tmp_path}/none", timeout=1.0)
    assert caught.value.hint == "is dockerd running, and may this user talk to it?"


def test_an_unsupported_url_is_refused() -> None:
    with pytest.raises(InputError):
        Engine.connect("ssh://host", timeout=1.0)


def test_pruning_keeps_a_cache_within_its_bounds_and_frees_the_rest(bench: Bench) -> None:
    dockerfile = "FROM BASE\nCOPY which /which\nRUN dd if=/dev/urandom of=/noise bs=1M count=8\n"
    spec, which = BuildSpec("amd64"), str(uuid4())
    bench.build(dockerfile, spec, which=which)
    assert prune(bench.engine, keep=1 << 50) == 0
    bench.log.clear()
    bench.build(dockerfile, spec, which=which)
    number = next(line for line in bench.log if "RUN dd" in line).split()[0]
    assert f"{number} CACHED" in bench.log
    assert prune(bench.engine, keep=0) > 0
    bench.build(dockerfile, spec, which=which)


def test_the_build_cache_can_be_listed_and_emptied(bench: Bench) -> None:
    bench.build("FROM BASE\nCOPY which /which\nRUN date\n", BuildSpec("amd64"), which=str(uuid4()))
    listed = list_cache(bench.engine)
    assert sum(one.size for one in listed if not one.in_use) > 0
    assert any(one.unused is not None and 0 <= one.unused < 3600 for one in listed)
    assert prune_cache(bench.engine) > 0
    assert {one.id for one in listed} - {one.id for one in list_cache(bench.engine)}


def test_layers_that_the_registry_has_are_not_pushed_again(bench: Bench) -> None:
    name = bench.name()
    for _ in range(2):
        bench.publish(name)
    assert any("Layer already exists" in line for line in bench.log)


def test_a_push_of_an_image_that_is_gone_from_the_engine_can_be_retried(bench: Bench) -> None:
    with pytest.raises(EngineUnavailableError, match="is gone from the engine") as caught:
        bench.push(bench.name())
    assert caught.value.retryable


def test_a_push_without_progress_is_stopped_and_can_be_retried(bench: Bench) -> None:
    """The engine would wait forever for a registry that stops answering during a push."""
    with http_proxy(bench.registry) as registry:
        name = bench.name(registry.address)
        bench.build("FROM BASE\n", BuildSpec("amd64"), name=name)
        registry.breaks("PUT", "/manifests/", silence())
        with pytest.raises(RegistryUnavailableError, match="made no progress for 2 s") as stopped:
            push(bench.engine, name, None, Control(bench.log.append, 60), silence=2)
        assert stopped.value.retryable
        bench.push(name)


def test_a_full_temporary_directory_is_not_reported_as_an_error_of_the_engine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = tar({"Dockerfile": "FROM scratch\n"})
    depends = DockerImages((bench.base,), target="images.tar")
    with (
        small_disk(tmp_path / "disk") as disk,
        monkeypatch.context() as worker,
        open_registry(bench.settings) as registry,
        context,
    ):
        worker.setattr(tempfile, "tempdir", str(disk))
        with (
            pytest.raises(TemporaryFullError, match=f"^the temporary directory {disk} is full"),
            with_depends_images(
                context, depends, "amd64", engine=bench.engine, registry=registry, log=bench.log.append
            ),
        ):
            pass
