"""References and the other values that are passed between processes."""

from __future__ import annotations

from typing import Any

import pytest

from farm.errors import InputError
from farm.model import (
    ARCHES,
    UNAME,
    Descriptor,
    Job,
    JobState,
    PackageState,
    Platform,
    Reference,
    arch_of_uname,
)
from tests.support.values import HASH, attestation, descriptor, digest, job

D = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("alpine", ("docker.io", "library/alpine", None, None)),
        ("alpine:3.20", ("docker.io", "library/alpine", "3.20", None)),
        ("docker.io/alpine", ("docker.io", "library/alpine", None, None)),
        ("index.docker.io/alpine", ("docker.io", "library/alpine", None, None)),
        ("linuxkit/foo:a_B-1.2", ("docker.io", "linuxkit/foo", "a_B-1.2", None)),
        ("localhost/foo", ("localhost", "foo", None, None)),
        ("localhost:5000/a/b/c:t", ("localhost:5000", "a/b/c", "t", None)),
        ("ghcr.io/o/foo@" + D, ("ghcr.io", "o/foo", None, D)),
        ("quay.io:443/o/foo:t@" + D, ("quay.io:443", "o/foo", "t", D)),
        ("[::1]:5000/foo", ("[::1]:5000", "foo", None, None)),
        ("a/b__c/d.e/f--g", ("docker.io", "a/b__c/d.e/f--g", None, None)),
        ("localhost:5000", ("docker.io", "library/localhost", "5000", None)),
    ],
)  # fmt: skip
def test_a_reference_is_read_as_docker_reads_it(text: str, parts: tuple[str | None, ...]) -> None:
    read = Reference.parse(text)
    assert (read.registry, read.repository, read.tag, read.digest) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "a:",
        "a@",
        "a:b:c",
        "A/b",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a b",
        "a\n",
        "a:" + "t" * 129,
        "a:-t",
        "a@sha256:00",
        "a@" + D + "0",
        "a@" + D.upper(),
        "h.o:1:2/a",
        "h.o:x/a",
        "é/a",
    ],
)
def test_an_invalid_reference_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="invalid image reference"):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/alpine:3", "alpine:3"),
        ("docker.io/linuxkit/foo:t", "linuxkit/foo:t"),
        ("ghcr.io/library/foo:t", "ghcr.io/library/foo:t"),
        ("docker.io/library/a/b", "library/a/b"),
        ("docker.io/localhost/a", "docker.io/localhost/a"),
        ("docker.io/a.b/c", "docker.io/a.b/c"),
    ],
)
def test_the_familiar_form_omits_only_what_is_implied(text: str, familiar: str) -> None:
    assert Reference.parse(text).familiar == familiar
    assert Reference.parse(familiar) == Reference.parse(text)


def test_the_short_form_has_no_registry_and_a_short_hash() -> None:
    assert Reference.parse(f"localhost:5000/linuxkit/foo:{HASH}").short == "linuxkit/foo:ab12cd34"
    assert Reference.parse("linuxkit/foo:v1.0").short == "linuxkit/foo:v1.0"
    assert Reference.parse("linuxkit/foo").short == "linuxkit/foo"
    assert job("s390x").title == "linuxkit/foo:ab12cd34 s390x"


def test_tags_digests_and_architecture_tags_are_of_the_same_repository() -> None:
    index = Reference.parse("localhost:1/a/b:t")
    assert str(index.for_arch("arm64")) == "localhost:1/a/b:t-arm64"
    assert index.with_digest(D).with_tag("u") == Reference.parse("localhost:1/a/b:u")
    assert index.with_digest(D) == Reference.parse(f"localhost:1/a/b@{D}")
    assert index.name == "localhost:1/a/b"


def test_the_kernels_name_identifies_an_architecture() -> None:
    assert [arch_of_uname(name) for name in UNAME.values()] == list(ARCHES)
    assert arch_of_uname("sparc") == "sparc"


def test_a_platform_is_written_as_in_oci() -> None:
    assert str(Platform("arm64", variant="v8")) == "linux/arm64/v8"
    assert Platform.from_json({"architecture": "amd64", "os": "linux", "os.version": "1"}) == Platform(
        "amd64"
    )


def test_a_descriptor_is_that_of_the_oci_specification() -> None:
    about = descriptor("image")
    assert attestation("sbom", about).to_json() == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest("sbom"),
        "size": 9,
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": about.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }


@pytest.mark.parametrize(
    "data", [{}, {"digest": D}, {"mediaType": "m", "digest": D, "size": 1, "platform": {"os": "a"}}]
)
def test_an_invalid_descriptor_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        Descriptor.from_json(data)


def test_a_job_of_a_newer_farm_is_refused_rather_than_built_incompletely() -> None:
    with pytest.raises(
        InputError, match=r"^the job has fields that this version of the farm does not know: sandbox"
    ) as caught:
        Job.from_json(job().to_json() | {"sandbox": True})
    assert caught.value.hint == "upgrade this worker"


def test_each_state_says_whether_it_means_success() -> None:
    assert {state for state in JobState if state.succeeded} == {"built", "exists"}
    assert {state for state in PackageState if state.succeeded} == {"pushed", "published", "signed"}
