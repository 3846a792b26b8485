"""References and the other values that are passed between processes."""

from __future__ import annotations

from typing import Any

import pytest

from farm.errors import InputError, NotUnderstoodError
from farm.model import (
    ARCHES,
    UNAME,
    Copy,
    Descriptor,
    DockerImages,
    Job,
    JobState,
    PackageState,
    Platform,
    Reference,
    arch_of_uname,
)
from tests.support.values import HASH, attestation, descriptor, digest, image, job, reference, work

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


WIRE = [
    job(depends=DockerImages(("alpine:3",), target="a.tar")),
    work("linuxkit/foo", "amd64", copies=(Copy(reference(), "v1", sign=True),)),
    Copy(reference(), "v1", sign=True),
    image("amd64"),
    DockerImages(("alpine:3",), target_dir="images"),
]


@pytest.mark.parametrize("value", WIRE, ids=lambda value: type(value).__name__)
def test_what_a_newer_farm_has_sent_is_refused_rather_than_read_incompletely(value: Any) -> None:
    data = value.to_json()
    assert type(value).from_json(data) == value
    unknown = r"^the [a-z ]+ has fields that this farm does not know: sandbox \(upgrade the farm"
    with pytest.raises(NotUnderstoodError, match=unknown):
        type(value).from_json(data | {"sandbox": True})


def test_what_lacks_a_field_is_refused_with_its_name() -> None:
    with pytest.raises(InputError, match=r"the job lacks fields .* needs: arch, context"):
        Job.from_json({"run": "r1", "package": "a/b", "reference": "a/b", "hash": HASH, "tag": HASH})


def test_what_uses_nothing_new_is_understood_by_every_release() -> None:
    """A field that is added later has a default, and is not sent with it."""
    assert job().to_json().keys() == {
        *("run", "package", "reference", "arch", "hash", "tree", "tag", "context")
    }
    assert work("linuxkit/foo").to_json().keys() == {"package", "reference", "arches"}


def test_a_job_of_an_older_farm_is_read() -> None:
    older = job().to_json() | {"depends": None, "labels": {}, "network": False}
    del older["tree"]
    assert Job.from_json(older) == job()


def test_each_state_says_whether_it_means_success() -> None:
    assert {state for state in JobState if state.succeeded} == {"built", "exists"}
    assert {state for state in PackageState if state.succeeded} == {"pushed", "published", "signed"}


def test_what_only_names_the_commit_or_its_time_makes_no_other_recipe() -> None:
    args = {"REVISION": "a", "GOPKGVERSION": "v0", "SOURCE_DATE_EPOCH": "7", "CGO": "0"}
    recipe = job(build_args=tuple(args.items())).recipe
    assert job(build_args=(("CGO", "0"), ("SOURCE_DATE_EPOCH", "8"))).recipe == recipe
    assert job(build_args=(("CGO", "1"), ("SOURCE_DATE_EPOCH", "7"))).recipe != recipe
