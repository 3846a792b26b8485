from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.builders.builder import Control
from farm.builders.engine_push import push
from farm.errors import EngineUnavailableError
from tests.support.http import send

if TYPE_CHECKING:
    from farm.model import Reference
    from tests.integration.builders.conftest import Bench

_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
)


def push_it(bench: Bench, name: Reference) -> str:
    """Push from the engine; return the digest."""
    return push(bench.engine, name, None, Control(bench.log.append, 60.0))


def test_a_push_returns_the_digest_of_the_image_in_the_registry(bench: Bench) -> None:
    name = bench.build("FROM BASE\nRUN echo something > /file\n")
    digest = push_it(bench, name)
    address = f"http://{name.registry}/v2/{name.repository}/manifests/{name.tag}"
    answer = send("HEAD", address, headers={"Accept": _MANIFESTS})
    assert answer.headers["docker-content-digest"] == digest


def test_a_second_push_returns_the_same_digest(bench: Bench) -> None:
    name = bench.build("FROM BASE\nRUN echo something > /file\n")
    assert push_it(bench, name) == push_it(bench, name)
    assert any("Layer already exists" in line for line in bench.log)


def test_a_push_of_an_image_that_is_gone_from_the_engine_can_be_retried(bench: Bench) -> None:
    with pytest.raises(EngineUnavailableError, match="is gone from the engine") as caught:
        bench.push(bench.name())
    assert caught.value.retryable
