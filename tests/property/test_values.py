"""For any value that the farm holds: it comes back from text or JSON as it was."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError, InputError
from farm.model import ARCHES, ArchImage, Descriptor, Job, PackageWork, Platform, Reference
from farm.settings import Secret, Settings, child_environment, load_settings
from farm.syntax.setting_types import BUILDERS

_LETTERS = st.sampled_from("az09")
_GAPS = st.sampled_from(["", "", ".", "_", "__", "-", "---"])
_WORD = st.lists(st.tuples(_LETTERS, _GAPS, _LETTERS).map("".join), min_size=1, max_size=2).map("".join)
_TAG = st.sampled_from("aZ_0").flatmap(
    lambda first: st.text("aZ0_.-", max_size=8).map(lambda rest: first + rest)
)
DIGESTS = st.binary(max_size=2).map(lambda seed: f"sha256:{seed.hex():0>64}")
_HOSTS = st.sampled_from(
    ["docker.io", "localhost", "localhost:5000", "ghcr.io", "a.b-c.d:443", "[::1]:5000", "[fe80::1]"]
)


@st.composite
def references(draw: st.DrawFn, *, tagged: bool = False) -> Reference:
    """Any reference that docker would write."""
    registry = draw(_HOSTS)
    parts = draw(st.lists(_WORD, min_size=2 if registry == "docker.io" else 1, max_size=4))
    tag = draw(_TAG if tagged else st.none() | _TAG)
    return Reference(registry, "/".join(parts), tag, draw(st.none() | DIGESTS))


PLATFORMS = st.builds(
    Platform,
    st.sampled_from([*ARCHES, "arm", "unknown"]),
    st.sampled_from(["linux", "unknown"]),
    st.sampled_from([None, "v7", "v8"]),
)
_TEXTS = st.text(max_size=12)
_PAIRS = st.dictionaries(_TEXTS, _TEXTS, max_size=3).map(lambda pairs: tuple(sorted(pairs.items())))
DESCRIPTORS = st.builds(Descriptor, _TEXTS, DIGESTS, st.integers(0, 1 << 40), st.none() | PLATFORMS, _PAIRS)
_IMAGES = st.builds(
    ArchImage, st.sampled_from(ARCHES), references(), st.lists(DESCRIPTORS, max_size=2).map(tuple)
)
_ARCHES = st.lists(st.sampled_from(ARCHES), unique=True).map(tuple)
_JOBS = st.builds(
    Job,
    run=_TEXTS,
    package=_TEXTS,
    reference=references(tagged=True),
    arch=st.sampled_from(ARCHES),
    hash=_TEXTS,
    tree=_TEXTS,
    tag=_TEXTS,
    context=DIGESTS,
    destinations=st.lists(_TEXTS, max_size=3).map(tuple),
    submodules=st.lists(st.tuples(_TEXTS, st.integers(), _TEXTS), max_size=2).map(tuple),
    dockerfile=_TEXTS,
    network=st.booleans(),
    no_cache=st.booleans(),
    force=st.booleans(),
    labels=_PAIRS,
    build_args=_PAIRS,
)
_WORKS = st.builds(
    PackageWork,
    package=_TEXTS,
    reference=references(tagged=True),
    arches=_ARCHES,
    jobs=st.lists(_JOBS, max_size=1).map(tuple),
    existing=st.lists(_IMAGES, max_size=1).map(tuple),
    needs=st.lists(_TEXTS, max_size=2).map(tuple),
    sign=st.booleans(),
    partial=st.booleans(),
)


def through_json(value: Any) -> Any:
    """The value as it arrives at the other side of a broker."""
    return type(value).from_json(json.loads(json.dumps(value.to_json())))


@given(references())
def test_a_reference_is_read_as_the_farm_and_as_people_write_it(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == Reference.parse(reference.familiar) == reference


@given(st.text(max_size=30) | st.from_regex(r"[a-z.:/@_-]{0,20}", fullmatch=True))
def test_any_text_is_a_reference_or_refused_and_reading_twice_is_reading_once(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InputError:
        return
    assert Reference.parse(str(reference)) == reference


@given(references(tagged=True), st.sampled_from(ARCHES))
def test_an_architectures_tag_stands_in_the_same_repository(reference: Reference, arch: str) -> None:
    beside = reference.for_arch(arch)
    assert beside.name == reference.name
    assert beside.digest is None
    assert beside.tag == f"{reference.tag}-{arch}"


@pytest.mark.parametrize("values", [PLATFORMS, DESCRIPTORS, _IMAGES, _JOBS, _WORKS], ids=str)
@given(data=st.data())
def test_a_value_comes_back(values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    value = data.draw(values)
    assert through_json(value) == value


@given(st.sampled_from([FarmError, *FarmError.registry.values()]), _TEXTS, st.none() | _TEXTS)
def test_an_error_comes_back(kind: type[FarmError], message: str, hint: str | None) -> None:
    error = kind(message, hint=hint)
    back = through_json(error)
    assert (type(back), back.message, back.hint) == (kind, message, hint)


# What an environment can hold: no NUL, and nothing that is not UTF-8.
_VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
_ITEMS = st.text("aZ0.:/_-", min_size=1, max_size=6)
_SECONDS = st.floats(0.001, 3e8)
_STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "Secret | None": st.none() | _VALUES.map(Secret),
    "str | None": st.none() | _VALUES,
    "str": _VALUES,
    "Path": _ITEMS.map(lambda text: Path("/", text)),
    "Path | None": st.none() | _ITEMS.map(lambda text: Path("/", text)),
    "bool": st.booleans(),
    "int": st.integers(1, 65535),
    "float": _SECONDS,
    "Size": st.integers(0, 1 << 50),
    "tuple[str, ...]": st.lists(_ITEMS, min_size=1, max_size=3).map(tuple),
    "tuple[tuple[str, str], ...]": st.dictionaries(_VALUES, _VALUES | st.just(""), max_size=3).map(
        lambda pairs: tuple(pairs.items())
    ),
}
_STRATEGIES["tuple[Path, ...]"] = st.lists(_STRATEGIES["Path"], max_size=3).map(tuple)
_SERVICES = st.from_regex(r"[a-z0-9.-]{1,9}(:[0-9]{1,5})?", fullmatch=True)
_REALMS = st.dictionaries(_SERVICES, _SERVICES, max_size=3)
_MIRRORS = st.dictionaries(
    _ITEMS | st.just("*"), _ITEMS.map(lambda text: f"https://mirror/{text}"), max_size=3
)
_OWN: dict[str, st.SearchStrategy[Any]] = {
    "broker": st.none()
    | _VALUES.map(lambda password: Secret(f"redis://:{quote(password, safe='')}@host:1/0")),
    "registry_token_realms": _REALMS.map(lambda pairs: tuple(pairs.items())),
    "mirrors": _MIRRORS.map(lambda pairs: tuple(pairs.items())),
    "builder": st.sampled_from(BUILDERS),
    "builders": st.sampled_from([(), (("linux/arm64", "there"), ("linux/s390x", "a=b"))]),
    "build_cache_to": st.sampled_from([(), ("a/{name}:{arch}",)]),
    "signers": st.sampled_from([(), ("cosign",), ("notary", "cosign")]),
    "cosign_key": _STRATEGIES["Path | None"] | st.sampled_from(["pkcs11:token=a", "awskms:///alias/a,b"]),
    "sbom": st.sampled_from([None, "true", "docker/scan:1"]),
    "provenance": st.sampled_from([None, "min", "max"]),
}
"""Settings whose values are of a narrower kind."""
_SETTINGS = st.fixed_dictionaries(
    {
        item.name: _OWN[item.name] if item.name in _OWN else _STRATEGIES[str(item.type)]
        for item in fields(Settings)
    }
)


@given(
    _SETTINGS,
    st.sampled_from([{}, {"FARM_LEASE": "7", "LINUXKIT_CACHE": "/other", "FARM_CONFIG": "/none"}]),
)
def test_a_child_is_given_any_settings_as_they_are(values: dict[str, Any], variables: dict[str, str]) -> None:
    wanted = replace(Settings(), **values)
    with mock.patch.dict(os.environ, variables):
        assert asdict(load_settings({}, environ=child_environment(wanted))) == asdict(wanted)


@given(_SETTINGS)
def test_no_settings_show_a_secret(values: dict[str, Any]) -> None:
    secret = Secret("hush-7c1f")
    hidden = {name: secret for name, value in values.items() if isinstance(value, Secret)}
    settings = replace(Settings(), **{**values, **hidden})
    assert "hush-7c1f" not in f"{settings!r} {asdict(settings)!r}"
