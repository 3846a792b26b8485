"""A push with the farm's own client promises the same image as the engine's push, and the same errors."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.builders.builder import BuildSpec, Control
from farm.errors import CancelledError, EngineUnavailableError, RegistryUnavailableError
from farm.model import digest_of
from farm.registry.client import open_registry
from farm.registry.oci import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST
from lab.engine import OVERLAY2
from tests.integration.builders.conftest import open_bench
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import reset, silence
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.model import Reference
    from farm.registry.client import Registry
    from lab.lab import Lab
    from tests.conftest import Engines
    from tests.integration.builders.conftest import Bench

TWO_LAYERS = "FROM scratch\nCOPY one /one\nCOPY two /two\n"


@pytest.fixture(params=[None, OVERLAY2], ids=["engine", "engine-26"])
def each_bench(request: pytest.FixtureRequest, lab: Lab, engines: Engines, tmp_path: Path) -> Iterator[Bench]:
    """A bench for each format of an archive."""
    with open_bench(lab, engines(request.param), tmp_path, builder="engine") as bench:
        yield bench


@pytest.fixture
def registry(bench: Bench) -> Iterator[Registry]:
    """A client, which soon gives up."""
    with open_registry(replace(bench.settings, http_timeout=2.0)) as registry:
        yield registry


def push(bench: Bench, registry: Registry, name: Reference, control: Control | None = None) -> str:
    """Push with that client; return the digest."""
    control = control or Control(bench.log.append, 60.0)
    return bench.builder.push(name, control, silence=60.0, registry=registry)


def manifest(registry: Registry, name: Reference, digest: str) -> dict[str, Any]:
    """The manifest that was pushed, which is Docker's, under name and digest."""
    pushed = registry.existing(name)
    assert (pushed.descriptor.digest, pushed.descriptor.media_type) == (digest, DOCKER_MANIFEST)
    found: dict[str, Any] = json.loads(pushed.body)
    return found


def test_what_is_pushed_is_the_image_of_the_engine(each_bench: Bench) -> None:
    bench = each_bench
    name = bench.build(TWO_LAYERS, one="1" * 3_000_000, two="")
    image = bench.image(name)
    with open_registry(bench.settings) as registry:
        pushed = manifest(registry, name, push(bench, registry, name))
        layers = [registry.blob(name, layer["digest"]) for layer in pushed["layers"]]
    assert pushed["config"]["digest"] == image["Id"]
    assert pushed["config"]["mediaType"] == DOCKER_CONFIG
    assert [digest_of(gzip.decompress(layer)) for layer in layers] == image["RootFS"]["Layers"]
    assert [len(layer) for layer in layers] == [layer["size"] for layer in pushed["layers"]]
    assert {layer["mediaType"] for layer in pushed["layers"]} == {DOCKER_LAYER}
    assert sum(line.endswith(": Pushed") for line in bench.log) == len(layers)


def test_an_engine_pulls_and_runs_what_was_pushed(bench: Bench, registry: Registry) -> None:
    name = bench.build("FROM BASE AS b\nFROM scratch\nCOPY --from=b / /\n")
    push(bench, registry, name)
    bench.builder.remove_image(name, "amd64")
    bench.build(f"FROM {name}\nRUN busybox true\n")


def test_an_image_without_layers_is_pushed(bench: Bench, registry: Registry) -> None:
    name = bench.build("FROM scratch\nLABEL a=b\n")
    assert manifest(registry, name, push(bench, registry, name))["layers"] == []


def test_layers_that_the_registry_has_are_not_uploaded_again(bench: Bench, registry: Registry) -> None:
    name = bench.build(TWO_LAYERS, one="1", two="2")
    first = push(bench, registry, name)
    bench.log.clear()
    assert push(bench, registry, name) == first
    assert sum(line.endswith(": Layer already exists") for line in bench.log) == 2


def test_layers_keep_their_digests_in_images_that_are_built_on_them(bench: Bench, registry: Registry) -> None:
    """Whoever has the base need not download it again."""
    base = bench.build(TWO_LAYERS, one="1", two=str(bench.made))
    layers = manifest(registry, base, push(bench, registry, base))["layers"]
    bench.builder.remove_image(base, "amd64")
    name = bench.build(f"FROM {base}\nCOPY three /three\n", BuildSpec("amd64", no_cache=True), three="3")
    bench.push(name)
    above = json.loads(registry.existing(name).body)["layers"]
    assert above[:-1] == layers


def test_an_upload_whose_connection_breaks_is_repeated(bench: Bench, registry: Registry) -> None:
    with http_proxy(bench.registry) as proxied:
        name = bench.build(TWO_LAYERS, name=bench.name(proxied.address), one="1", two="2")
        proxied.breaks("PUT", "/blobs/uploads/", reset())
        manifest(registry, name, push(bench, registry, name))
        assert proxied.seen("PUT", "/blobs/uploads/") == 4


def test_a_push_to_a_silent_registry_can_be_retried(bench: Bench, registry: Registry) -> None:
    with http_proxy(bench.registry) as proxied:
        name = bench.build(TWO_LAYERS, name=bench.name(proxied.address), one="1", two="2")
        proxied.breaks("PUT", "/blobs/uploads/", silence(), times=float("inf"))
        with pytest.raises(RegistryUnavailableError) as stopped:
            push(bench, registry, name)
        assert stopped.value.retryable
        proxied.mend()
        push(bench, registry, name)


def test_a_push_can_be_cancelled(bench: Bench, registry: Registry) -> None:
    with http_proxy(bench.registry) as proxied:
        name = bench.build(TWO_LAYERS, name=bench.name(proxied.address), one="1", two="2")
        control = Control(bench.log.append, 60.0, lambda: proxied.seen("POST", "/blobs/uploads/") > 0)
        with pytest.raises(CancelledError):
            push(bench, registry, name, control)


def test_without_room_for_temporary_files_the_engine_pushes_itself(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noise = "RUN dd if=/dev/urandom of=/noise bs=1M count=4"
    dockerfile = f"FROM BASE AS b\n{noise}\nFROM scratch\nCOPY --from=b /noise /\n"
    with small_disk(tmp_path / "disk") as disk, monkeypatch.context() as worker:
        name = bench.build(dockerfile)
        worker.setattr(tempfile, "tempdir", str(disk))
        manifest(registry, name, push(bench, registry, name))
    assert re.search("directory .* is full on .*: the engine pushes the image itself", bench.printed())


def test_a_push_with_the_client_can_be_retried_if_the_image_is_gone(bench: Bench, registry: Registry) -> None:
    with pytest.raises(EngineUnavailableError, match="is gone from the engine"):
        push(bench, registry, bench.name())
