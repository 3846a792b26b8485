from __future__ import annotations

from typing import TYPE_CHECKING

import docker.errors
import httpx
import pytest

from farm.build.push import forget
from farm.build.spec import BuildSpec
from farm.errors import RegistryDeniedError, RegistryError, RegistryUnavailableError
from tests.integration.build.conftest import LOGIN, WRONG_LOGIN, Bench, Lab, free_port

if TYPE_CHECKING:
    from farm.model import Reference

_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
)


@pytest.fixture
def built(bench: Bench, lab: Lab) -> Reference:
    """An image under the name of the laboratory's registry."""
    return build_as(bench, bench.name(lab.registry))


def build_as(bench: Bench, name: Reference) -> Reference:
    """Build an image under a name."""
    bench.build("FROM BASE\nRUN echo something > /file\n", BuildSpec("amd64", tags=(str(name),)))
    return name


def test_a_push_returns_the_digest_under_which_the_registry_has_the_image(
    bench: Bench, built: Reference
) -> None:
    digest = bench.push(built)
    address = f"http://{built.registry}/v2/{built.repository}/manifests/{built.tag}"
    answer = httpx.head(address, headers={"Accept": _MANIFESTS})
    assert answer.headers["docker-content-digest"] == digest


def test_a_second_push_returns_the_same_digest(bench: Bench, built: Reference) -> None:
    assert bench.push(built) == bench.push(built)
    assert any("Layer already exists" in line for line in bench.log)


def test_a_registry_that_asks_for_a_login_is_given_it(bench: Bench, guarded: str) -> None:
    assert bench.push(build_as(bench, bench.name(guarded)), LOGIN).startswith("sha256:")
    assert "s3cret" not in bench.printed()


def test_a_wrong_login_is_told_as_refused(bench: Bench, guarded: str) -> None:
    with pytest.raises(RegistryDeniedError) as caught:
        bench.push(build_as(bench, bench.name(guarded)), WRONG_LOGIN)
    assert not caught.value.retryable
    assert "wrong" not in str(caught.value)


def test_no_login_where_one_is_asked_for_is_told_as_refused(bench: Bench, guarded: str) -> None:
    with pytest.raises(RegistryDeniedError):
        bench.push(build_as(bench, bench.name(guarded)))


def test_a_dead_registry_can_be_tried_again(bench: Bench) -> None:
    with pytest.raises(RegistryUnavailableError) as caught:
        bench.push(build_as(bench, bench.name(f"localhost:{free_port()}")), timeout=60.0)
    assert caught.value.retryable


def test_an_image_that_the_engine_does_not_have_cannot_be_pushed(bench: Bench, lab: Lab) -> None:
    with pytest.raises(RegistryError):
        bench.push(bench.name(lab.registry))


def test_a_forgotten_tag_is_gone_from_the_engine_and_may_be_forgotten_again(
    bench: Bench, built: Reference
) -> None:
    forget(bench.engine, built)
    with pytest.raises(docker.errors.ImageNotFound):
        bench.engine.api.tag(str(built), "nothing")
    forget(bench.engine, built)
