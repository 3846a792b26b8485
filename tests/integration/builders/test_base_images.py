"""Whatever way a Dockerfile names an image, the builder says which digest it was.

What a worker attests, and what it refuses to build from, depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.builders.builder import BuildSpec, Control
from farm.model import Reference
from farm.registry.client import open_registry
from tests.integration.builders.conftest import tar
from tests.support.attacker import push_image

if TYPE_CHECKING:
    from tests.integration.builders.conftest import Bench

NAMES = """\
ARG TAG=1.36
FROM --platform=linux/amd64 BASE AS first
FROM {name}:${{TAG}} AS second
RUN echo two > /two
FROM first
COPY --from=second /two /two
COPY --from={named} /a /a
RUN --mount=type=bind,from={pinned},target=/mnt cp /mnt/b /b
"""


def resolved(bench: Bench, dockerfile: str) -> set[tuple[str, str]]:
    """The base images that a build reports."""
    found: set[tuple[str, str]] = set()
    name = bench.name()
    with tar({"Dockerfile": dockerfile.replace("BASE", bench.base)}) as context:
        control = Control(bench.log.append, 120.0, lambda: False, lambda *base: found.add(base))
        bench.builder.build(BuildSpec("amd64", tags=(str(name),)), context, control)
    return found


def test_every_image_of_a_dockerfile_is_reported_from_the_cache_too(any_bench: Bench) -> None:
    """With its digest, but that BuildKit before 0.9 does not say the one of COPY --from."""
    base = Reference.parse(any_bench.base)
    with open_registry(any_bench.settings) as registry:
        named, pinned = (any_bench.name() for _ in range(2))
        for target, file in (named, "a"), (pinned, "b"):
            push_image(registry, target, "amd64", {file: b"x"})
        digests = {str(one): registry.existing(one).descriptor.digest for one in (base, named, pinned)}
    dockerfile = NAMES.format(name=base.name, named=named, pinned=f"{pinned.name}@{digests[str(pinned)]}")
    exact = {(str(base), digests[str(base)]), (pinned.name, digests[str(pinned)])}
    for _ in range(2):
        found = resolved(any_bench, dockerfile)
        (unsure,) = found - exact
        assert found > exact
        assert unsure in {(str(named), digests[str(named)]), (str(named), "")}


def test_an_image_that_is_named_without_a_tag_is_reported_once_with_its_digest(any_bench: Bench) -> None:
    latest = any_bench.name().with_tag("latest")
    with open_registry(any_bench.settings) as registry:
        push_image(registry, latest, "amd64", {"file": b"x"})
        digest = registry.existing(latest).descriptor.digest
    found = resolved(any_bench, f"FROM {latest.name} AS one\nFROM scratch\nCOPY --from=one /file /\n")
    assert found in ({(latest.name, digest)}, {(str(latest), digest)})


def test_a_base_image_without_layers_is_reported_without_its_digest(any_bench: Bench) -> None:
    """Its configuration, with its ONBUILD instructions, counts all the same."""
    with open_registry(any_bench.settings) as registry:
        empty = any_bench.name()
        push_image(registry, empty, "amd64", {}, OnBuild=["ENV PLANTED=yes"])
    found = resolved(any_bench, f'FROM {empty}\nRUN --mount=from=BASE,target=/mnt ["/mnt/bin/busybox"]\n')
    assert (str(empty), "") in found


def test_an_image_named_by_digest_hides_none_without_layers_under_the_same_name(any_bench: Bench) -> None:
    with open_registry(any_bench.settings) as registry:
        latest = any_bench.name().with_tag("latest")
        push_image(registry, latest.with_tag("1"), "amd64", {"file": b"x"})
        digest = registry.existing(latest.with_tag("1")).descriptor.digest
        push_image(registry, latest, "amd64", {}, OnBuild=["ENV PLANTED=yes"])
    pinned = f"FROM {latest.name}@{digest} AS one\n"
    found = resolved(any_bench, f"{pinned}FROM {latest.name}:latest\nCOPY --from=one /file /\n")
    assert found == {(latest.name, digest), (str(latest), "")}
