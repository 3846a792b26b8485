"""Images are built again on another worker and compared, byte by byte."""

from __future__ import annotations

import json
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.attestation.check import attestations
from farm.cli.verify_rebuild import rebuild
from farm.errors import AttestationError, InputError, StateError
from farm.model import Reference
from farm.registry.client import Registry, open_registry
from farm.registry.oci import ImageManifest
from farm.settings import load_settings
from farm.trust.attested_builds import worker_keys
from farm.trust.policy_file import load_policy
from lab.engine import CONTAINERD
from tests.acceptance.conftest import make_workspace, new_database
from tests.support.farm_command import BUSYBOX
from tests.support.git_repos import git
from tests.support.remote_farm import RemoteFarm, end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab
    from tests.conftest import Engines

SAME = f"{BUSYBOX}COPY build.yml /\nRUN mkdir /d && echo same > /d/same\n"
OTHER = f"{BUSYBOX}RUN mkdir /d && cat /proc/uptime > /d/other && echo same > /d/same\n"


@pytest.fixture(scope="module")
def farm(lab: Lab, engines: Engines) -> Iterator[RemoteFarm]:
    """Two workers with a key each, that build for amd64, and two packages that one of them has built."""
    with tempfile.TemporaryDirectory(prefix="farm-t") as home:
        workspace = make_workspace(lab, Path(home))
        policy, keys = Path(home, "policy.yml"), [str(Path(home, name)) for name in ("one.pem", "two.pem")]
        policy.write_bytes(lab.identity.policy.read_bytes())
        policy.chmod(0o600)
        workspace.variables.update(FARM_POLICY=str(policy), FARM_ENGINE=engines(CONTAINERD))
        for name, key in zip(("one", "two"), keys, strict=True):
            shown = workspace.done("worker", "init", "--arch", "amd64", FARM_WORKER_KEY=key).out
            words = ["--arch", "amd64", "--key", shown.split()[-1]]
            workspace.done("policy", "add", "worker", name, *words)
        publishers = Path(home, "publisher.yml")
        publishers.write_bytes(policy.read_bytes())
        publishers.chmod(0o600)
        farm = RemoteFarm(workspace, new_database(lab))
        publisher = farm.start("publish@test", "--publish", FARM_POLICY=str(publishers))
        try:
            workspace.write("same", arches="amd64", Dockerfile=SAME)
            workspace.write("other", arches="amd64", Dockerfile=OTHER)
            with (
                farm.worker("one@test", FARM_WORKER_KEY=keys[0]),
                farm.worker("two@test", FARM_WORKER_KEY=keys[1]),
            ):
                farm.await_worker("publish@test", "up")
                farm.done("push", "--no-sign", "same", "other")
                yield farm
        finally:
            end(publisher)
            farm.close()


@pytest.fixture
def registry(farm: RemoteFarm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry, where this process is a maintainer in the workspace."""
    for name, value in farm.workspace.environment(FARM_BROKER=farm.broker).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(farm.workspace.directory)
    with open_registry(load_settings({})) as registry:
        yield registry


def verify(farm: RemoteFarm, package: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    code = rebuild(load_settings({}), reference_of(farm, package), as_json=True)
    printed = capsys.readouterr()
    with open_registry(load_settings({})) as registry:
        tagged = reference_of(farm, package)
        second = registry.head(tagged.with_tag(f"{tagged.tag}-rebuild-amd64"))
    assert (second is not None) == ("stays: the registry did not remove the tag" in printed.err)
    return code, json.loads(printed.out)


def reference_of(farm: RemoteFarm, package: str) -> Reference:
    return Reference.parse(farm.done("show-tag", package).out.strip())


def test_what_another_worker_builds_again_with_the_same_bytes_is_reproduced(
    farm: RemoteFarm, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = reference_of(farm, "same")
    before = registry.existing(reference), registry.existing(reference.for_arch("amd64"))
    code, found = verify(farm, "same", capsys)
    assert (code, found["reproduced"]) == (0, True)
    (image,) = found["images"]
    assert {image["worker"], image["rebuiltBy"]} == {"one", "two"}
    assert before == (registry.existing(reference), registry.existing(reference.for_arch("amd64")))


def test_a_file_that_differs_is_named_with_its_layer(
    farm: RemoteFarm, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    del registry
    assert rebuild(load_settings({}), reference_of(farm, "other"), ["amd64"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"  amd64  differs, built again by (one|two)\n", printed)
    assert re.search(r"layer 2: sha256:\w+ -> sha256:\w+\n +changed d/other: content\n", printed)
    assert "d/same" not in printed


def test_all_times_in_an_image_are_that_of_the_last_commit_that_changed_its_package(
    farm: RemoteFarm, registry: Registry
) -> None:
    reference = reference_of(farm, "same").for_arch("amd64")
    manifest = ImageManifest.parse(registry.existing(reference).body)
    assert manifest.config
    config = json.loads(registry.blob(reference, manifest.config.digest))
    committed = float(git(farm.workspace.directory, "log", "-1", "--format=%ct", "--", "same"))
    shown = datetime.fromtimestamp(committed, UTC).isoformat().replace("+00:00", "Z")
    assert [config["created"], *(one["created"] for one in config["history"][-2:])] == [shown] * 3


def test_a_context_that_is_not_stored_any_more_is_packed_again_in_its_repository_only(
    farm: RemoteFarm,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    del registry
    for key in farm.store.text.scan_iter("*context*"):
        farm.store.text.delete(key)
    here = Path.cwd()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StateError, match="is not stored any more"):
        verify(farm, "same", capsys)
    monkeypatch.chdir(here)
    assert verify(farm, "same", capsys)[0] == 0


def test_what_nobody_attests_or_an_index_lacks_is_refused_before_anything_is_built(
    farm: RemoteFarm, registry: Registry
) -> None:
    del registry
    runs = farm.runs()
    with pytest.raises(InputError, match="has no image for s390x"):
        rebuild(load_settings({}), reference_of(farm, "same"), ["s390x"])
    base = Reference.parse(f"{farm.workspace.lab.registry}/library/busybox:1.36")
    with pytest.raises(AttestationError, match="no worker of the policy attests"):
        rebuild(load_settings({}), base)
    assert farm.runs() == runs


def demand(policy: Path, workers: int) -> None:
    """Let a policy demand that so many workers have made the same bytes."""
    lines = [line for line in policy.read_text().splitlines() if not line.startswith("attestations:")]
    policy.write_text("\n".join([*lines, f"attestations: {workers}", ""]))


def attested_by(farm: RemoteFarm, registry: Registry, package: str) -> set[str]:
    """The workers that attest the image of a package for amd64."""
    reference = reference_of(farm, package)
    digest = registry.existing(reference.for_arch("amd64")).descriptor.digest
    keys = worker_keys(load_policy(Path(farm.workspace.variables["FARM_POLICY"])))
    return {one.worker for one in attestations(registry, reference, digest, keys, "amd64")}


def test_what_too_few_workers_attest_is_published_only_when_another_one_has_made_the_same_bytes(
    farm: RemoteFarm, registry: Registry
) -> None:
    policy = Path(farm.workspace.variables["FARM_POLICY"])
    farm.workspace.write("few", arches="amd64", Dockerfile=SAME)
    farm.workspace.write("never", arches="amd64", Dockerfile=OTHER)
    demand(policy.with_name("publisher.yml"), 2)
    refused = farm.run("push", "--no-sign", "few")
    assert refused.code == 1
    assert "no image for amd64 (it is attested by 1 of 2 workers)" in refused.err + refused.out
    demand(policy, 2)
    farm.done("push", "--no-sign", "few")
    assert attested_by(farm, registry, "few") == {"one", "two"}
    refused = farm.run("push", "--no-sign", "never")
    assert refused.code == 1
    assert re.search(
        r"not the bytes that (one|two) made.*changed d/other: content", refused.err + refused.out
    )
    assert len(attested_by(farm, registry, "never")) == 1


def test_without_another_worker_it_is_said_how_many_have_attested(
    farm: RemoteFarm, registry: Registry
) -> None:
    del registry
    demand(Path(farm.workspace.variables["FARM_POLICY"]), 2)
    farm.workspace.write("alone", arches="amd64", Dockerfile=SAME)
    farm.done("workers", "drain", "two@test")
    farm.await_worker("two@test", "drained")
    refused = farm.run("push", "--no-sign", "alone")
    farm.done("workers", "resume", "two@test")
    assert refused.code == 3
    assert (
        "attested by 1 of 2 workers, and no other worker accepts jobs for amd64" in refused.err + refused.out
    )
