"""Whoever can write the registry slips no base image of his own under a package of the farm.

The attacker overwrites the tag of a package after it was published, and before what is built FROM it is
built: those packages are for an architecture whose only worker starts last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.model import Reference
from farm.registry.index import Index
from farm.state.run_handles import RunHandle
from tests.support.attacker import Attacker, ended, push_image
from tests.support.farm_command import BUSYBOX, wait_until

if TYPE_CHECKING:
    from tests.support.remote_farm import RemoteFarm

FROM_BASE = "ARG ORG\nFROM --platform=linux/amd64 ${{ORG}}/{base} AS base\n"
COPIED = "FROM scratch\nCOPY --from=base /bin/busybox /planted\n"
BUILT = {
    "same-run": FROM_BASE + COPIED,
    "two-stages": f"{FROM_BASE}FROM base AS two\n{COPIED.replace('=base', '=two')}",
    "computed": FROM_BASE.replace("\n", "\nARG PART=base\n", 1).replace("{base}", "${{PART}}:{tag}") + COPIED,
    "copied": "FROM scratch\nCOPY --from={org}/{base} /bin/busybox /planted\n",
    "absent": FROM_BASE.replace("{base}", "absent:1") + COPIED,
    "unnamed": FROM_BASE.replace("{base}", "absent") + COPIED,
    "empty": "ARG ORG\nFROM ${{ORG}}/hollow:{hollow}\nCOPY build.yml /\n",
}
"""The packages that are built from what the attacker overwrites, or makes."""


@pytest.fixture(scope="module")
def errors(farm: RemoteFarm) -> dict[str, str]:
    """Why the packages that are built from an overwritten one failed, by name."""
    space, attacker = farm.workspace, Attacker(farm)
    space.write("base", arches="amd64, arm64")
    space.write("hollow", arches="amd64", Dockerfile=f"{BUSYBOX}LABEL hollow=1\n")
    base, named = Reference.parse(space.reference("base")), f"base:{space.tag('base')}"
    for name, text in BUILT.items():
        dockerfile = text.format(base=named, org=space.org, tag=base.tag, hollow=space.tag("hollow"))
        space.write(name, arches="s390x", Dockerfile=dockerfile)
    later = f"{(FROM_BASE + COPIED).format(base=named)}LABEL a=b\n"
    space.write("published", arches="s390x", Dockerfile=later)
    with attacker.registry as registry:
        runs = [farm.submit("--queue-anyway", "base", "hollow", *BUILT)]
        wait_until(lambda: sum(state == "published" for state in farm.package_states(runs[0]).values()) > 1)
        runs.append(farm.submit("--queue-anyway", "published"))
        honest = Index.parse(registry.existing(base).body).manifests
        evil = [attacker.image(base, arch, "evil") for arch in ("amd64", "s390x")]
        attacker.index(base, *(one for one in honest if one.platform != evil[0].platform), *evil)
        absent = Reference.parse(f"{space.org}/absent")
        for tag in ("1", "latest"):
            attacker.tagged(absent.with_tag(tag), "amd64", f"evil {tag}")
        hollow = Reference.parse(space.reference("hollow"))
        attacker.index(hollow, push_image(registry, hollow.for_arch("s390x"), "s390x", {}, Env=["EVIL=1"]))
        with farm.worker("s390x@test", "--arch", "s390x", "--emulate"):
            records = [ended(RunHandle(farm.store, run)) for run in runs]
        for name in (*BUILT, "published"):
            target = Reference.parse(space.reference(name))
            assert attacker.published(target) is None
            assert attacker.published(target.for_arch("s390x")) is None
    packages = [one for record in records for one in record.packages.items()]
    return {name.rpartition("/")[2]: str(record.error) for name, record in packages}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("same-run", "no authorised worker attests: the order names"),
        ("published", "no authorised worker attests: the order names sha256:"),
        ("two-stages", "no authorised worker attests: the order names"),
        ("computed", "no authorised worker attests: the order names"),
        ("absent", "the order does not name it"),
        ("unnamed", "the order does not name it"),
    ],
)
def test_a_package_is_not_built_from_an_overwritten_base(
    errors: dict[str, str], name: str, said: str
) -> None:
    """Of the same run; published before; by --platform, stages and arguments; one that did not exist."""
    assert "the base image " in errors[name]
    assert said in errors[name]


def test_a_package_is_not_built_from_an_image_that_only_a_copy_names(errors: dict[str, str]) -> None:
    """BuildKit before 0.9 does not say which image it was."""
    assert "no authorised worker attests" in errors["copied"] or "does not say which" in errors["copied"]


def test_a_package_is_not_built_from_an_image_of_configuration_alone(errors: dict[str, str]) -> None:
    assert "the builder does not say which image " in errors["empty"]


def test_a_base_that_no_worker_attests_is_refused_unless_it_is_signed_or_adopted(
    errors: dict[str, str], farm: RemoteFarm, attacker: Attacker
) -> None:
    """One of an earlier run, whose tag the attacker has overwritten before the maintainer pushes."""
    space = farm.workspace
    assert errors["published"]
    space.write("honest", arches="amd64")
    farm.await_run(farm.submit("honest"), "done")
    for name in ("base", "honest"):
        text = (FROM_BASE + COPIED).format(base=f"{name}:{space.tag(name)}")
        space.write(f"from-{name}", arches="amd64", Dockerfile=text)
    base, honest = Reference.parse(space.reference("base")), Reference.parse(space.reference("honest"))
    words = ("--no-sign", "from-base", "from-honest")
    for verb in ("plan", "push"):
        refused = farm.run(verb, *words)
        assert refused.code == 4
        assert f"no authorised worker attests the base image {base.familiar} (" in refused.err
        assert honest.familiar not in refused.err
    # Nor with a label that hides a foreign image among BuildKit's attestations.
    members = Index.parse(attacker.registry.existing(base).body).manifests
    label = (("vnd.docker.reference.type", "attestation-manifest"),)
    attested = [one for one in members if one.platform and one.platform.architecture == "arm64"]
    evil = replace(attacker.image(base, "amd64", "evil"), annotations=label)
    attacker.index(base, evil, *attested)
    assert f"no authorised worker attests the base image {base.familiar} (" in farm.run("plan", *words).err
    adopted = farm.done("plan", "--adopt", "--json", *words).json
    digest = attacker.registry.existing(base).descriptor.digest
    assert adopted["warnings"] == [f"adopted the base image {base.familiar} as {digest}"]


def test_a_base_that_is_signed_needs_no_attestation(farm: RemoteFarm, attacker: Attacker) -> None:
    space = farm.workspace
    space.write("legacy", arches="amd64")
    legacy = Reference.parse(space.reference("legacy"))
    attacker.index(legacy, attacker.image(legacy, "amd64", "from before there was a policy"))
    text = (FROM_BASE + COPIED).format(base=f"legacy:{legacy.tag}")
    space.write("from-legacy", arches="amd64", Dockerfile=text)
    farm.done("trust", "init", "legacy", "from-legacy")
    assert farm.run("plan", "from-legacy").code == 4
    farm.done("sign", "--adopt", str(legacy))
    assert farm.done("plan", "--json", "from-legacy").json["warnings"] == []
