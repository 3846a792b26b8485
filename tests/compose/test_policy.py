"""The policy of a site and its keys: made by compose/init, completed by a bundle, read by containers."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from compose.make import own_arch
from farm.attestation.worker_key import load_worker_key
from farm.errors import PolicyError
from farm.settings import load_settings
from farm.trust.cosign.configure import key_pair
from farm.trust.own_rights import check_own_rights
from farm.trust.policy_edit import change_policy
from farm.trust.policy_file import load_policy
from farm.trust.policy_warnings import policy_warnings
from farm.trust.ssh_signatures import public_key
from lab.machine import ARCHES
from tests.support.clone import HOST, Clone
from tests.support.ssh_keys import keygen, ssh_public_key, worker_key

if TYPE_CHECKING:
    from pathlib import Path

    from farm.trust.policy import Policy

NAME = f"{HOST}:5000/linuxkit/foo"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose machine builds for three architectures, which no test changes."""
    clone = Clone(tmp_path_factory.mktemp("made") / "clone")
    assert clone.init("--emulate", "--machine=first").returncode == 0
    return clone


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with one signer, for an administrator with a key, which no test changes; it builds nothing."""
    folder = tmp_path_factory.mktemp("own")
    clone, key = Clone(folder / "clone"), keygen(folder / "id")
    options = ("--set=SIGNERS=cosign", "--set=COMPOSE_PROFILES=core,registry", f"--order-key={key}.pub")
    assert clone.init(*options, "--machine=first").returncode == 0
    return clone


@pytest.fixture
def clone(made: Clone, tmp_path: Path) -> Clone:
    """A clone after compose/init."""
    return Clone(tmp_path / "clone", made.directory)


def maintainer(clone: Clone) -> Path:
    return clone.directory / "compose" / "maintainer"


def policy(clone: Clone) -> Policy:
    return load_policy(clone.policy)


def test_the_first_maintainer_may_order_and_release_all_names_of_the_sites_registry_and_no_others(
    made: Clone,
) -> None:
    settings = load_settings({}, config=maintainer(made) / "farm.yml", environ={})
    check_own_rights(settings, [NAME, f"{HOST}:5000/other/deep/er"], release=True)
    with pytest.raises(PolicyError, match=r"maintainer may not order docker.io/linuxkit/foo"):
        check_own_rights(settings, ["docker.io/linuxkit/foo"], release=False)
    assert settings.signers == ("cosign", "notary")


def test_the_policy_names_the_workers_of_this_machine_each_with_a_key_for_its_architecture_alone(
    made: Clone,
) -> None:
    named = {worker.key: (worker.name, worker.arches) for worker in policy(made).workers}
    keys = {arch: load_worker_key(made.secrets / f"worker-key-{arch}").public for arch in ARCHES}
    assert named == {keys[arch]: (f"{arch}@first", (arch,)) for arch in ARCHES}
    assert list(policy_warnings(policy(made), ARCHES, now=0)) == []


def test_the_policy_demands_both_signatures_and_the_key_of_cosign_opens_with_its_passphrase(
    made: Clone,
) -> None:
    environ = {
        "FARM_CONFIG": os.devnull,
        "FARM_COSIGN_KEY": str(made.secrets / "cosign.key"),
        "FARM_COSIGN_PASSWORD_FILE": str(made.secrets / "cosign-passphrase"),
        "FARM_COSIGN_PUBLIC_KEY": str(maintainer(made) / "cosign.pub"),
    }
    _, public = key_pair(load_settings({}, environ=environ))
    assert policy(made).cosign_keys == (public.pem,)
    assert policy(made).signatures == ("cosign", "notary")


def test_a_site_with_one_signer_demands_that_one(own: Clone) -> None:
    settings = load_settings({}, config=maintainer(own) / "farm.yml", environ={})
    assert (policy(own).signatures, settings.signers) == (("cosign",), ("cosign",))
    assert own.stack()["services"]["publisher"]["environment"]["FARM_SIGNERS"] == "cosign"


def test_an_administrators_own_ssh_key_is_taken_and_no_private_key_is_made(
    own: Clone, tmp_path: Path
) -> None:
    key = public_key(maintainer(own) / "order-key.pub")
    assert [one.key for one in policy(own).maintainers] == [key] != [ssh_public_key(1)]
    settings = load_settings({}, config=maintainer(own) / "farm.yml", environ={})
    assert settings.order_key == maintainer(own) / "order-key.pub"
    assert not (maintainer(own) / "order-key").exists()
    before, other = own.made(), tmp_path / "other.pub"
    other.write_text(ssh_public_key(1))
    refused = own.init(f"--order-key={other}")
    assert (refused.returncode, own.made()) == (2, before)


@pytest.mark.parametrize(
    "text", ["", "no key", "ssh-dss AAAA", "ssh-ed25519 AAAA", f"{ssh_public_key(1)}\nmore"]
)
def test_what_is_no_public_ssh_key_is_refused_before_anything_is_made(tmp_path: Path, text: str) -> None:
    file = tmp_path / "id.pub"
    file.write_text(text)
    clone = Clone(tmp_path / "clone")
    refused = clone.init(f"--order-key={file}")
    assert (refused.returncode, clone.made()) == (2, {})


def test_an_unknown_signer_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    refused = clone.init("--set=SIGNERS=cosign,gpg")
    assert (refused.returncode, clone.made()) == (2, {})


def test_a_site_from_before_there_was_a_choice_keeps_notary(clone: Clone) -> None:
    clone.env.write_text(clone.env.read_text().replace("SIGNERS=cosign,notary\n", ""))
    for path in (clone.policy, maintainer(clone) / "farm.yml"):
        path.unlink()
    assert clone.init().returncode == 0
    assert load_settings({}, config=maintainer(clone) / "farm.yml", environ={}).signers == ("notary",)
    assert policy(clone).signatures == ("notary",)
    assert clone.stack()["services"]["publisher"]["environment"]["FARM_SIGNERS"] == "notary"


def test_a_bundle_is_refused_by_a_machine_whose_worker_the_policy_does_not_name(
    clone: Clone, tmp_path: Path
) -> None:
    other = Clone(tmp_path / "other")
    bundle = clone.run("bundle", "--arch=arm64").stdout
    refused = other.join(bundle)
    assert (refused.returncode, other.made()) == (2, {})
    assert b"run compose/join without a bundle first" in refused.stderr
    other.run("join", "--machine=second")
    before = other.made()
    refused = other.join(bundle)
    assert (refused.returncode, other.made()) == (2, before)
    assert b"does not name this machine's worker" in refused.stderr


def test_a_bundle_lets_one_worker_build_and_gives_its_machine_the_whole_policy(
    clone: Clone, tmp_path: Path
) -> None:
    before, text = policy(clone), clone.policy.read_text()
    other = Clone(tmp_path / "other")
    assert other.join(clone.bundle_for(other, "--arch=s390x")).returncode == 0
    public = load_worker_key(other.secrets / "worker-key").public
    *others, new = policy(clone).workers
    assert (new.name, new.key, new.arches) == ("s390x@second", public, ("s390x",))
    assert tuple(others) == before.workers
    assert set(text.splitlines()) <= set(clone.policy.read_text().splitlines())
    assert policy(other) == policy(clone)
    assert policy(clone).maintainers == before.maintainers
    assert clone.policy.stat().st_mode & 0o777 == other.policy.stat().st_mode & 0o777 == 0o644


def test_the_first_worker_of_a_site_that_builds_nothing_itself_is_added(own: Clone, tmp_path: Path) -> None:
    clone, other = Clone(tmp_path / "clone", own.directory), Clone(tmp_path / "other")
    assert policy(clone).workers == ()
    clone.bundle_for(other)
    clone.bundle_for(other)
    assert [worker.name for worker in policy(clone).workers] == [f"{own_arch()}@second"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arch=arm64", "--worker", "arm64@second", "no-key"], "no name and key of a worker"),
        (["--arch=arm64", "--worker", 'x", until: "', worker_key(1)], "no name and key of a worker"),
        (["--arch=arm64", "--worker", "arm64@second", worker_key(1)[:-8] + "AAAAAA=="], "no name and key"),
        (["--arch=arm64", "--worker", "arm64@first", worker_key(1)], "has another key of arm64@first"),
        (["--worker", "arm64@second", worker_key(1)], "--worker needs --arch"),
    ],
)
def test_what_would_spoil_the_policy_is_refused_and_nothing_is_written(
    clone: Clone, words: list[str], said: str
) -> None:
    before = clone.made()
    refused = clone.run("bundle", *words)
    assert (refused.returncode, refused.stdout, clone.made()) == (2, b"", before)
    assert said in refused.stderr.decode()


def test_a_policy_in_another_spelling_is_not_touched(clone: Clone) -> None:
    text = clone.policy.read_text()
    for other in (
        text.replace('  - {name: "arm64', '  - { name: "arm64'),
        text.replace("workers:", "workers: # these"),
    ):
        clone.policy.write_text(other)
        refused = clone.run("bundle", "--arch=arm64", "--worker", "arm64@second", worker_key(1))
        assert (refused.returncode, clone.policy.read_text()) == (2, other)
        assert b"add the worker with farm policy add worker" in refused.stderr


def test_a_worker_that_is_selected_later_is_added_and_one_that_was_removed_stays_so(
    own: Clone, tmp_path: Path
) -> None:
    clone = Clone(tmp_path / "clone", own.directory)
    clone.env.write_text(clone.env.read_text().replace("core,registry", "core,registry,arm64"))
    assert clone.init().returncode == 0
    assert [worker.name for worker in policy(clone).workers] == ["arm64@first"]
    change_policy(clone.policy, lambda old: old.without("arm64@first", None))
    assert clone.init().returncode == 0
    assert policy(clone).workers == ()


def test_containers_read_the_policy_and_cannot_write_it_and_have_no_key_of_another(clone: Clone) -> None:
    services = clone.stack()["services"]
    places = {
        name: mount["read_only"]
        for name, one in services.items()
        for mount in one.get("volumes", [])
        if mount["source"] == str(clone.policy.parent)
    }
    workers = {f"worker-{arch}" for arch in ARCHES}
    assert places == dict.fromkeys({"publisher", *workers}, True)
    for name in places:
        assert services[name]["environment"]["FARM_POLICY"] == "/etc/farm/policy/policy.yml"
    secrets = {
        name: {one["source"] for one in service.get("secrets", [])} for name, service in services.items()
    }
    keys = {name: {one for one in found if "worker-key" in one} for name, found in secrets.items()}
    assert {name: found for name, found in keys.items() if found} == {
        f"worker-{arch}": {f"worker-key-{arch}"} for arch in ARCHES
    }
    assert [name for name, found in secrets.items() if "cosign.key" in found] == ["publisher"]


def test_a_backup_has_the_policy_and_every_key(clone: Clone, tmp_path: Path) -> None:
    with tarfile.open(clone.save(tmp_path / "saved") / "site.tar") as tar:
        names = {*tar.getnames()}
    wanted = {"policy/policy.yml", "maintainer/order-key", "secrets/cosign.key", "secrets/worker-key-arm64"}
    assert wanted <= names
