from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from farm.builders.engine_builder import BuildResult
from farm.builders.failures import build_failure, push_failure
from farm.buildkit.progress import BuildStep
from farm.buildkit.status_messages import Vertex, VertexLog
from farm.errors import (
    BuildFailedError,
    DiskFullError,
    EngineUnavailableError,
    FarmError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
    RegistryUntrustedError,
)
from farm.model import Reference
from tests.unit.conftest import RECORDINGS, replayed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.conftest import Replay


def step(name: str, error: str, last_line: str = "") -> BuildStep:
    last = VertexLog("sha256:a", 1.0, last_line.encode())
    return BuildStep(1, Vertex("sha256:a", name, error=error), last=last)


SENTENCES = {
    "failed-run": 'RUN step 3 of 4 failed with status 2: "make: cc: not found"$',
    "failed-stage": "RUN step 2 of 2 failed with status 3 and printed nothing: exit 3$",
    "failed-killed": "RUN step 2 of 2 failed with status 137 and printed nothing: exit 137$",
    "missing-base": "image localhost:5999/nope/nope:1 was not found$",
    "missing-tag": "image localhost:5999/base/busybox:nope was not found$",
    "missing-architecture": "image localhost:5999/base/busybox:1 does not exist for this architecture$",
    "missing-source": 'COPY step 2 of 2 failed: "/nope":? not found$',
    "no-dockerfile": "the Dockerfile is not in the build context$",
    "empty-dockerfile": "the build failed: the Dockerfile cannot be empty$",
    "unknown-instruction": "syntax error in line 2 of the Dockerfile: unknown instruction: FOO",
    "denied-base": "image .*: access denied, or it does not exist$",
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_failure_is_one_sentence_on_every_engine(replay: Callable[[str], Replay], case: str) -> None:
    with pytest.raises(BuildFailedError) as caught:
        replay(case)[0].image(200)
    assert re.match(SENTENCES[case], caught.value.message)
    assert (caught.value.hint == "log in to the registry on the worker") is (case == "denied-base")


def test_an_unreachable_registry_can_be_retried(replay: Callable[[str], Replay]) -> None:
    with pytest.raises(RegistryUnavailableError, match=r"^image localhost:1/nope/nope:1: the reg") as caught:
        replay("unreachable-base")[0].image(200)
    assert caught.value.retryable


def test_a_response_without_a_result_is_the_engines_fault_and_can_be_retried() -> None:
    with pytest.raises(EngineUnavailableError):
        BuildResult(print).image(200)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*/disk-full-*.jsonl")), ids=lambda path: path.stem)
def test_a_disk_that_fills_up_during_a_build_is_reported_as_full(path: Path) -> None:
    result, _ = replayed(path)
    with pytest.raises(DiskFullError, match=r"^the disk of the Docker Engine is full ") as caught:
        result.image(200)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "message",
    [
        "failed to register layer: Error processing tar file: write /x: no space left on device",
        "failed to solve: failed to copy: write /var/lib/docker/x: No Space Left On Device",
        "mkdir /var/lib/docker/tmp/buildkit-mount1: no space left on device",
    ],
)
def test_a_full_disk_is_distinguished_from_a_failed_step(message: str) -> None:
    assert isinstance(build_failure(message, None), DiskFullError)
    assert isinstance(build_failure("solver", step("[1/2] RUN x", message)), DiskFullError)


def test_a_build_that_the_engine_cancelled_can_be_retried() -> None:
    error = build_failure("failed to solve: rpc error: code = Canceled desc = context canceled", None)
    assert isinstance(error, EngineUnavailableError)
    assert str(error) == "the Docker Engine aborted the build: context canceled"


def test_a_build_whose_layer_the_image_store_collected_is_repeated() -> None:
    message = (
        'failed to prepare extraction snapshot "extract-588541499-u7zU sha256:7f2c": '
        "parent snapshot sha256:db43 does not exist: not found"
    )
    error = build_failure(message, None)
    assert error.retryable
    assert error.message == f"the Docker Engine lost a layer of the build: {message}"


def test_a_build_whose_image_another_worker_removed_meanwhile_is_repeated() -> None:
    """Two packages with the same content give the same image, and each worker removes what it has pushed."""
    image = "3505aa3ba959f03097ee36bd3a6486d04f4071185062392719230fa5b52e8c22"
    path = f"/var/lib/docker/image/overlay2/imagedb/content/sha256/{image}"
    message = f"failed to get digest sha256:{image}: open {path}: no such file or directory"
    error = build_failure(message, None)
    assert error.retryable
    assert error.message == "another worker removed the same image from the engine meanwhile"


@pytest.mark.parametrize(
    "message",
    [
        "process \"/bin/sh -c grep 'no space left' || echo context canceled\" did not complete: exit code: 2",
        "executor failed running [/bin/sh -c test [ context canceled ] no space left]: exit code: 2",
    ],
)
def test_the_text_of_a_command_is_not_taken_for_an_error_of_the_engine(message: str) -> None:
    error = build_failure(message, step("[1/2] RUN test", message, "it failed"))
    assert str(error) == 'RUN step 1 of 2 failed with status 2: "it failed"'


def test_a_step_for_a_foreign_architecture_is_named_without_its_platform() -> None:
    error = build_failure("", step("[linux/arm64 builder 3/5] RUN make", "exit code: 2", "no rule"))
    assert str(error) == 'RUN step 3 of 5 failed with status 2: "no rule"'


def test_the_prefixes_of_a_message_in_colour_are_left_out() -> None:
    error = build_failure("\x1b[31mfailed to solve: \x1b[1mfailed to load cache key: no lease\x1b[0m", None)
    assert error.message == "the build failed: no lease"


def test_a_killed_step_has_a_hint_about_memory() -> None:
    killed = step("[2/2] RUN make", 'process "make" did not complete successfully: exit code: 137', "cc1")
    error = build_failure("", killed)
    assert error.hint == "killed, perhaps because it ran out of memory"


def test_a_long_last_line_is_cut() -> None:
    error = build_failure("", step("[2/2] RUN make", "exit code: 1", "x" * 1999))
    assert len(error.message) < 400


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("denied: requested access to the resource is denied", RegistryDeniedError),
        ("unauthorized: authentication required", RegistryDeniedError),
        ("no basic auth credentials", RegistryDeniedError),
        ('Put "http://x/v2/": dial tcp 127.0.0.1:1: connect: connection refused', RegistryUnavailableError),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryUnavailableError),
        ("received unexpected HTTP status: 500 Internal Server Error", RegistryUnavailableError),
        ("toomanyrequests: slow down", RegistryUnavailableError),
        ("net/http: TLS handshake timeout", RegistryUnavailableError),
        ("An image does not exist locally with the tag: x", EngineUnavailableError),
        ("tag does not exist: localhost:5000/x:1-amd64", EngineUnavailableError),
        ("unable to get rootfs for image sha256:ab: not found", EngineUnavailableError),
        ("manifest invalid: manifest invalid", RegistryError),
        ("error parsing HTTP 413 response body: invalid character '<' looking for ...", RegistryError),
        ("tls: failed to verify certificate: x509: certificate signed by unknown", RegistryUntrustedError),
        ("write /var/lib/docker/tmp/x: no space left on device", DiskFullError),
    ],
)
def test_a_failed_push_is_classified_by_the_engines_message(message: str, kind: type[FarmError]) -> None:
    error = push_failure(Reference.parse("localhost:5000/linuxkit/foo:1"), message)
    assert type(error) is kind
    assert "localhost:5000/linuxkit/foo:1" in error.message
