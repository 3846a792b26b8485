"""Three example packages go from git to three signed indexes, which any client can verify and run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import NewWorkspace, add_examples
from tests.support.farm_command import BUSYBOX, Workspace, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHES = {"amd64": "x86_64", "arm64": "aarch64", "s390x": "s390x"}
PACKAGES = ("hello", "motd", "greeter")
# Nothing listens on port 1.
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def pushed(new_workspace: NewWorkspace) -> Workspace:
    """The examples, prepared for signing and pushed by a private farm."""
    workspace = new_workspace()
    add_examples(workspace)
    workspace.done("trust", "init", *PACKAGES)
    answer = workspace.done("push", *PACKAGES)
    for package in PACKAGES:
        assert f"{workspace.org}/{package}: signed" in answer.out
    return workspace


def docker(
    workspace: Workspace, home: Path, *words: str, trust: bool = True
) -> subprocess.CompletedProcess[str]:
    """A docker client that knows nothing of the farm."""
    environment = workspace.lab.docker_trust_environment(home) | {"DOCKER_CONTENT_TRUST": str(int(trust))}
    command = [workspace.lab.docker_cli, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_registry_holds_three_indexes_and_nine_images(pushed: Workspace) -> None:
    for package in PACKAGES:
        tag = pushed.done("show-tag", package).out.strip().rpartition(":")[2]
        assert pushed.tags(package) == sorted([tag, *(f"{tag}-{arch}" for arch in ARCHES)])
        described = pushed.done("inspect", "--json", f"{pushed.org}/{package}:{tag}").json
        assert described["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
        assert [image["platform"]["architecture"] for image in described["images"]] == list(ARCHES)
        assert described["signature"] == "signed"


@pytest.mark.parametrize("arch", ARCHES)
def test_every_image_was_built_on_its_architecture(pushed: Workspace, arch: str, tmp_path: Path) -> None:
    image = f"{pushed.reference('hello')}-{arch}"
    ran = docker(pushed, tmp_path, "run", "--rm", f"--platform=linux/{arch}", image, trust=False)
    assert ran.stdout.strip() == ARCHES[arch], ran.stderr


def test_a_package_is_built_with_its_extra_source_and_base_image(pushed: Workspace, tmp_path: Path) -> None:
    image = f"{pushed.done('show-tag', 'motd').out.strip()}-amd64"
    motd = docker(pushed, tmp_path, "run", "--rm", image, trust=False)
    assert motd.stdout.splitlines() == ["Built by the farm, signed for everyone. Architecture:", "x86_64"]
    greeting = docker(pushed, tmp_path, "run", "--rm", f"{pushed.reference('greeter')}-amd64", trust=False)
    assert greeting.stdout.strip() == "greetings from x86_64"


def test_a_client_with_content_trust_pulls_the_signed_tag(pushed: Workspace, tmp_path: Path) -> None:
    pulled = docker(pushed, tmp_path, "pull", pushed.reference("hello"))
    assert pulled.returncode == 0, pulled.stderr
    assert pushed.digest(pushed.reference("hello")) in pulled.stdout


def test_a_client_with_content_trust_refuses_an_unsigned_tag(pushed: Workspace, tmp_path: Path) -> None:
    refused = docker(pushed, tmp_path, "pull", f"{pushed.reference('hello')}-amd64")
    assert refused.returncode != 0
    assert "No valid trust data" in refused.stderr


def test_a_second_push_does_nothing_and_needs_neither_broker_nor_worker(pushed: Workspace) -> None:
    before = {package: pushed.tags(package) for package in PACKAGES}
    answer = pushed.done("push", *PACKAGES, FARM_BROKER=NOWHERE)
    assert answer.out.count("published and signed") == len(PACKAGES)
    assert "nothing to do" in answer.out
    assert {package: pushed.tags(package) for package in PACKAGES} == before


BEYOND_LOOK_UPS = {"celery", "kombu", "redis", "docker", "git", "rich", "cryptography", "securesystemslib"}
BEYOND_LOOK_UPS |= {"farm.model.run", "farm.trust.policy", "farm.trust.orders"}
BEYOND_LOOK_UPS |= {"farm.package.attributes", "farm.package.tarball"}


def test_a_push_with_nothing_to_do_does_not_load_modules_that_only_others_need(pushed: Workspace) -> None:
    assert pushed.modules_of("push", *PACKAGES, FARM_BROKER=NOWHERE) & BEYOND_LOOK_UPS == set()


def test_no_process_of_the_private_farm_outlives_the_push(pushed: Workspace) -> None:
    home = pushed.variables["FARM_STATE_DIR"]
    wait_until(lambda: not _processes_of(home))


def _processes_of(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in said:
            found.append(process.name)
    return found


def test_the_plan_says_what_will_be_done_and_why(pushed: Workspace) -> None:
    pushed.write("newcomer", Dockerfile="FROM scratch\n", arches="amd64, s390x")
    answer = pushed.done("plan", "--no-sign", "newcomer", "hello")
    assert "build amd64, s390x" in answer.out
    assert "published" in answer.out


@pytest.fixture(scope="module")
def held(pushed: Workspace) -> Iterator[Workspace]:
    """The same, with a private farm that stays up between commands."""
    with pushed.held_up():
        yield pushed


def test_an_unsigned_index_is_signed_and_nothing_is_built(held: Workspace) -> None:
    held.write("late", Dockerfile=f"{BUSYBOX}RUN uname -m\n")
    held.done("trust", "init", "late")
    held.done("push", "--no-sign", "late")
    reference = held.reference("late")
    assert held.done("inspect", "--json", reference).json["signature"] == "unsigned"
    assert "published but not signed: sign it" in held.done("plan", "late").out
    run = held.done("push", "--json", "late").json
    assert run["packages"][0]["state"] == "signed"
    assert {job["state"] for job in run["packages"][0]["jobs"]} == {"exists"}
    assert held.done("inspect", "--json", reference).json["signature"] == "signed"


def test_manifest_publishes_existing_images_and_builds_nothing(held: Workspace) -> None:
    held.write("parts")
    refused = held.farm("manifest", "parts")
    assert refused.code == 2
    assert "no image for amd64, arm64, s390x" in refused.err
    held.done("trust", "init", "parts")
    held.done("push", "--only", "amd64", "--partial", "parts")
    assert held.platforms(held.reference("parts")) == ["amd64"]
    assert "nothing to do" in held.done("push", "--only", "amd64", "--partial", "parts").out
    assert "nothing to do" in held.done("manifest", "--only", "amd64", "--partial", "parts").out


def test_manifest_adds_images_that_were_pushed_since(held: Workspace, tmp_path: Path) -> None:
    """Who builds an architecture elsewhere pushes NAME:HASH-ARCH, and then adopts it into the index."""
    base = BUSYBOX
    held.write("grows", Dockerfile=base, arches="amd64")
    held.done("trust", "init", "grows")
    held.done("push", "grows")
    added, image = f"{held.reference('grows')}-arm64", f"{held.reference('hello')}-arm64"
    for words in (["pull", "--platform=linux/arm64", image], ["tag", image, added], ["push", added]):
        assert docker(held, tmp_path, *words, trust=False).returncode == 0
    assert "left out arm64: no authorised worker attests it" in held.done("manifest", "grows").err
    held.done("manifest", "--adopt", "grows")
    described = held.done("inspect", "--json", held.reference("grows")).json
    assert [image["platform"]["architecture"] for image in described["images"]] == ["amd64", "arm64"]
    assert described["signature"] == "signed"
    assert "nothing to do" in held.done("manifest", "grows").out


def test_a_package_is_built_from_what_is_adopted_in_the_same_push(held: Workspace, tmp_path: Path) -> None:
    held.write("root", Dockerfile=BUSYBOX, arches="amd64")
    added, image = f"{held.reference('root')}-amd64", f"{held.reference('hello')}-amd64"
    for words in (["pull", "--platform=linux/amd64", image], ["tag", image, added], ["push", added]):
        assert docker(held, tmp_path, *words, trust=False).returncode == 0
    leaf = f"ARG ORG\nFROM ${{ORG}}/root:{held.tag('root')}\nRUN true\n"
    held.write("leaf", Dockerfile=leaf, arches="amd64")
    pushed = held.done("push", "--adopt", "--no-sign", "--json", "root", "leaf").json
    states = {one["reference"]: [job["state"] for job in one["jobs"]] for one in pushed["packages"]}
    assert states == {held.reference("root"): ["exists"], held.reference("leaf"): ["built"]}
