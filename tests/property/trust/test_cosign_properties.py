"""Whatever is stored or signed beside an image: no signature of something else counts, and nothing breaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from farm.errors import TrustError
from farm.model import Descriptor, Reference, digest_of
from farm.registry.client import Manifest, Registry
from farm.registry.oci import OCI_MANIFEST
from farm.trust.cosign.attachments import SIGNATURES, read_attachments
from farm.trust.cosign.payload import payload_of, says
from farm.trust.signer import SignTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST = f"sha256:{'ab' * 32}"
TARGET = SignTarget("docker.io/linuxkit/foo", "v1", DIGEST, 7)
IMAGE = Reference.parse(f"linuxkit/foo@{DIGEST}")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_LAYER = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": _JSON,
        "digest": st.just(DIGEST) | _JSON,
        "size": _JSON,
        "annotations": _JSON,
        "platform": _JSON,
    },
)


class _Stored:
    """A registry that has this manifest at every tag."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def manifest(self, _: Reference) -> Manifest:
        return Manifest(Descriptor(OCI_MANIFEST, digest_of(self.body), len(self.body)), self.body)


@given(_JSON | st.fixed_dictionaries({"layers": _JSON | st.lists(_LAYER, max_size=3)}))
@example({"layers": [{"mediaType": "a", "digest": DIGEST, "size": 1, "annotations": {"a": 1}}]})
@example({"layers": {"a": 1}})
@example([])
def test_what_is_no_list_of_signatures_is_refused_in_one_line(stored: Any) -> None:
    registry = cast("Registry", _Stored(json.dumps(stored).encode()))
    try:
        found = read_attachments(registry, IMAGE, SIGNATURES)
    except TrustError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
    else:
        assert all(type(layer["size"]) is int for layer in found.layers)


def payload(**changes: Any) -> bytes:
    """A payload about TARGET that differs in one place; the keys are its fields."""
    names = {"reference": TARGET.name, "digest": DIGEST, "type": "cosign container image signature"}
    fields: Mapping[str, Any] = {**names, "optional": {"tag": "v1"}, **changes}
    critical = {
        "identity": {"docker-reference": fields["reference"]},
        "image": {"docker-manifest-digest": fields["digest"]},
        "type": fields["type"],
    }
    return json.dumps({"critical": critical, "optional": fields["optional"]}).encode()


@given(st.sampled_from(["reference", "digest", "type", "optional"]), _JSON)
@example("reference", "docker.io/linuxkit/bar")
@example("reference", "docker.io/linuxkit/foo:v2")
@example("optional", {"tag": "v2"})
@example("optional", None)
def test_a_payload_that_differs_in_anything_is_about_something_else(field: str, value: Any) -> None:
    assert says(payload(), TARGET)
    assert not says(payload(**{field: value}), TARGET)


@given(st.binary(max_size=40) | _JSON.map(lambda data: json.dumps(data).encode()))
def test_no_other_text_is_a_payload(text: bytes) -> None:
    assert not says(text, TARGET)


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "tag"), st.text(max_size=5), max_size=3)
)
def test_a_payload_says_its_target_with_all_of_its_claims_and_no_others(claims: dict[str, str]) -> None:
    target = TARGET._replace(claims=tuple(claims.items()))
    assert says(payload_of(target), target)
    assert says(payload_of(target), TARGET)
    assert not says(payload_of(target), target._replace(claims=(*target.claims, ("more", "claims"))))


def test_the_name_of_docker_hub_that_cosign_writes_is_that_of_the_farm() -> None:
    assert says(payload(reference="index.docker.io/linuxkit/foo:v1", optional=None), TARGET)
