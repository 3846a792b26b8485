"""The real stack, as an operator uses it: from a clone to signed images, through kills and a restore."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.machine import ARCHES
from lab.process import free_port
from tests.support.cosign import UNLOGGED
from tests.support.cosign import run as cosign
from tests.support.farm_command import FARM, answer_of, environment_without_farm, wait_until
from tests.support.git_repos import git
from tests.support.http import send
from tests.support.stack import LIMIT, docker_as

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Machine, Stack

pytestmark = pytest.mark.timeout(LIMIT)

SERVICES = {
    "redis",
    "registry",
    "database",
    "notary-signer",
    "notary-server",
    "notary-gate",
    "publisher",
    *(f"worker-{arch}" for arch in ARCHES),
    "flower",
}
HELD = "RUN /bin/busybox nc {} {}; true\n"
"""A step that ends when the test closes its server, which accepts no connection."""


@pytest.fixture(scope="module")
def hello(stack: Stack) -> str:
    """NAME:TAG of a package that was pushed for three architectures."""
    reference = stack.write("hello")
    stack.farm("push", "hello")
    return reference


def test_every_service_comes_up_healthy_and_none_runs_as_root(stack: Stack) -> None:
    containers = stack.containers()
    assert containers.keys() == SERVICES
    assert {one["State"]["Health"]["Status"] for one in containers.values()} == {"healthy"}
    assert {Path("/proc", str(one["State"]["Pid"])).stat().st_uid for one in containers.values()} == {10001}


def test_no_container_can_gain_privileges_write_to_its_image_or_use_all_memory(stack: Stack) -> None:
    for one in stack.containers().values():
        host = one["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["ReadonlyRootfs"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] == 1024
        assert host["NanoCpus"] > 0
        assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_redis_is_full_before_the_kernel_kills_it_for_its_memory(stack: Stack) -> None:
    limit = stack.containers()["redis"]["HostConfig"]["Memory"]
    printed = stack.compose("exec", "-T", "redis", "redis-operator", "CONFIG", "GET", "maxmemory").split()
    assert printed == ["maxmemory", str(limit // 4 * 3)]


def test_only_the_publisher_has_the_signing_key(stack: Stack) -> None:
    mounts = {
        service: {mount["Destination"] for mount in one["Mounts"]}
        for service, one in stack.containers().items()
    }
    for key in ("delegation.pem", "cosign.key"):
        assert {name for name, seen in mounts.items() if f"/run/secrets/{key}" in seen} == {"publisher"}
    assert {name for name, seen in mounts.items() if "/var/run/docker.sock" in seen} == {
        f"worker-{arch}" for arch in ARCHES
    }


def test_no_container_can_write_the_policy(stack: Stack) -> None:
    writable = {
        service: mount["RW"]
        for service, one in stack.containers().items()
        for mount in one["Mounts"]
        if mount["Destination"] == "/etc/farm/policy"
    }
    assert writable == dict.fromkeys({"publisher", *(f"worker-{arch}" for arch in ARCHES)}, False)


def test_no_secret_is_in_a_container_s_description_or_in_a_log(stack: Stack, hello: str) -> None:
    assert hello
    files = (
        "broker-worker-amd64",
        "broker-publisher",
        "registry-users",
        "delegation-passphrase",
        "cosign-passphrase",
        "flower-password",
    )
    words = {word for name in files for word in re.split(r"[\s:@/]+", stack.secret(name)) if len(word) >= 32}
    assert len(words) == len(files) + 4
    visible = json.dumps(stack.containers()) + stack.compose("logs")
    assert [word for word in words if word in visible] == []


def test_a_push_from_the_host_is_signed_for_three_architectures(stack: Stack, hello: str) -> None:
    found = stack.farm("inspect", hello)
    assert "signed" in found
    for arch in ARCHES:
        assert arch in found


def test_a_docker_user_pulls_signed_images_only(stack: Stack, hello: str, tmp_path: Path) -> None:
    user = stack.docker_user(tmp_path)
    for arch in ARCHES:
        pulled = docker_as(user, "pull", "--quiet", f"--platform=linux/{arch}", hello)
        assert pulled.code == 0, pulled.err
        assert docker_as(user, "image", "rm", "--force", hello).code == 0
    unsigned = docker_as(user, "pull", "--quiet", f"{hello}-amd64")
    assert unsigned.code == 1
    assert "No valid trust data" in unsigned.err


def test_whoever_has_the_farms_public_key_verifies_an_image_with_cosign_alone(
    stack: Stack, hello: str, tmp_path: Path
) -> None:
    user = stack.docker_user(tmp_path)
    words = ["verify", "--key", str(stack.clone / "compose/maintainer/cosign.pub"), UNLOGGED, hello]
    ca = str(stack.clone / "compose/secrets/ca.crt")
    verified = cosign(*words, HOME=str(tmp_path), DOCKER_CONFIG=user["DOCKER_CONFIG"], SSL_CERT_FILE=ca)
    assert verified.returncode == 0, verified.stderr


def test_the_maintainers_directory_has_a_valid_policy_that_names_their_key_and_every_worker(
    stack: Stack, hello: str, tmp_path: Path
) -> None:
    assert hello
    files = stack.run("tar", "-C", "compose", "--dereference", "-cf", f"{tmp_path}/m.tar", "maintainer")
    assert files.code == 0, files.err
    assert stack.run("tar", "-C", str(tmp_path), "-xf", f"{tmp_path}/m.tar").code == 0
    checked = answer_of(
        [FARM, "--config", f"{tmp_path}/maintainer/farm.yml", "policy", "check"],
        environment_without_farm(),
        tmp_path,
        LIMIT,
    )
    assert checked.code == 0
    assert "valid  maintainers: 1, workers: 3" in checked.out
    assert checked.err == ""


def test_reading_the_registry_needs_a_login_and_writing_to_notary_a_certificate(
    stack: Stack, hello: str
) -> None:
    gun = hello.rpartition(":")[0]
    tuf = f"https://{stack.notary}/v2/{gun}/_trust/tuf/"
    other = [stack.clone / "compose/secrets" / f"redis.{kind}" for kind in ("crt", "key")]
    for certificate in ([], other):
        ca = ssl.create_default_context(cafile=str(stack.clone / "compose/secrets/ca.crt"))
        if certificate:
            ca.load_cert_chain(certificate[0], certificate[1])
        tags = f"https://{stack.registry}/v2/linuxkit/hello/tags/list"
        assert send("GET", tags, tls=ca).status == 401
        assert send("GET", f"{tuf}root.json", tls=ca).status == 200
        assert send("DELETE", tuf, tls=ca).status == 401
        assert send("POST", tuf, tls=ca).status == 401
        assert send("GET", f"{tuf}root.json", tls=ca).status == 200


def test_flower_requires_a_login_and_shows_the_tasks(stack: Stack, hello: str) -> None:
    assert hello
    assert stack.flower("/api/tasks", None).status == 401
    login = ("farm", stack.secret("flower-password"))
    names = {task["name"] for task in stack.flower("/api/tasks", login).json().values()}
    assert {name for name in names if name and "hello" in name and name.endswith(tuple(ARCHES))}


def test_redis_has_refused_nothing_to_the_users_of_the_services(stack: Stack, hello: str) -> None:
    assert hello
    log = stack.compose("exec", "-T", "redis", "redis-operator", "ACL", "LOG", "1000").split("\n")
    assert {"command", "key", "channel"}.isdisjoint(log), log


def test_a_run_finishes_after_kills_of_redis_a_worker_and_the_publisher(stack: Stack) -> None:
    with socket.create_server((stack.host, 0)) as gate:
        reference = stack.write("slow", HELD.format(*gate.getsockname()), network=True)
        with stack.start("push", "slow") as push:
            assert select.select([gate], [], [], LIMIT)[0]
            for service in ("redis", "worker-amd64", "publisher"):
                stack.kill(service)
            gate.close()
            rest = push.communicate(timeout=LIMIT)[0]
    assert push.returncode == 0, rest
    assert "signed" in stack.farm("inspect", reference)


@dataclass(frozen=True)
class Renewal:
    """A stack whose secrets were renewed, and all of whose containers were recreated."""

    runs: str
    """What `farm status --json` printed before."""
    containers: frozenset[str]
    """The ids before."""
    old_broker: str
    """The URL of Redis with the worker's old password."""
    old_keys: frozenset[str]
    """The ids of the keys that could sign for `hello` before."""


@pytest.fixture(scope="module")
def renewal(stack: Stack, hello: str) -> Renewal:
    """The stack after renewed secrets and `make up SERVICES=--force-recreate`."""
    name = hello.rpartition(":")[0]
    runs, broker = stack.farm("status", "--json"), stack.secret("broker-worker-amd64")
    before = Renewal(runs, ids(stack), broker, signing_keys(stack, name))
    secrets = ("broker-worker-amd64", "notary-signer-passphrases", "certificates", "delegation")
    stack.done("compose/renew", *secrets)
    assert "delegate" in stack.prepare(name)
    stack.make("up", "SERVICES=--force-recreate")
    return before


def test_all_containers_are_recreated_and_images_signatures_runs_and_history_kept(
    stack: Stack, hello: str, renewal: Renewal, tmp_path: Path
) -> None:
    assert ids(stack).isdisjoint(renewal.containers)
    assert stack.containers().keys() == SERVICES
    assert_nothing_is_lost(stack, hello, renewal.runs, tmp_path)


def test_a_renewed_password_invalidates_the_old_one(stack: Stack, renewal: Renewal) -> None:
    wait_until(lambda: len(stack.workers()) == len(ARCHES) + 1)
    assert stack.secret("broker-worker-amd64") != renewal.old_broker
    url = f"URL={renewal.old_broker}"
    refused = stack.compose("exec", "-T", "-e", url, "worker-amd64", "sh", "-c", OLD_LOGIN)
    assert "Redis refused the login" in refused


def test_the_signing_key_is_replaced_step_by_step_and_signed_images_stay_signed(
    stack: Stack, hello: str, renewal: Renewal
) -> None:
    name = hello.rpartition(":")[0]
    assert "signed" in stack.farm("sign", f"{hello}-amd64")
    notary(stack, "delegation", "remove", "-p", name, "targets/releases", *renewal.old_keys)
    keys = signing_keys(stack, name)
    assert len(keys) == 1
    assert keys.isdisjoint(renewal.old_keys)
    assert "signature: signed" in stack.farm("inspect", hello)


def test_a_second_machine_joins_with_a_key_of_its_own_and_builds_for_the_first(
    stack: Stack, second: Machine, renewal: Renewal
) -> None:
    """The publisher is not recreated: it sees the policy that names the new worker."""
    assert renewal, "new secrets, which the bundle contains, and with which the run is signed"
    said = second.done("compose/join", "--machine=second")
    command = said.partition("sudo ")[2].partition(" > worker.tar")[0]
    (second.home / "worker.tar").write_text(stack.done(*command.split()))
    second.start_engine(stack.clone / "compose/secrets/ca.crt")
    arguments = f"--machine=second --socket={second.socket} --docker-certs={second.certs}"
    second.make("worker", f"BUNDLE={second.home}/worker.tar", f"ARGS={arguments}")
    assert second.containers().keys() == {"worker"}
    assert stack.workers()["amd64@second"]["arches"] == ["amd64"]
    stack.make("compose", "ARGS=rm --stop --force worker-amd64")
    stack.write("shared")
    printed = stack.farm("push", "shared")
    assert "shared amd64: building on amd64@second" in printed
    assert "signed" in printed


def test_down_keeps_the_data_and_a_backup_restores_everything_on_an_empty_machine(
    stack: Stack, hello: str, tmp_path: Path
) -> None:
    runs = stack.farm("status", "--json")
    directory = tmp_path / "backup"
    stack.done("compose/backup", str(directory))
    assert stack.run("compose/backup", str(directory)).code == 2
    restore = ["compose/restore", str(directory), f"--docker-certs={stack.certs}"]
    refused = stack.run(*restore)
    assert refused.code == 2
    assert "the stack is running" in refused.err
    stack.make("down")
    assert stack.containers() == {}
    assert stack.volumes() == {"farm_redis", "farm_registry", "farm_database", "farm_engine-disk"}
    stack.make("compose", "ARGS=down --volumes")
    assert stack.volumes() == set()
    trusted = stack.certs / stack.registry / "ca.crt"
    trusted.unlink()
    for name in (".env", "secrets", "maintainer", "policy"):
        (stack.clone / "compose" / name).rename(tmp_path / name)
    # It fills the services' volumes, and ends with `docker compose down`: `make up` finds what down has kept.
    stack.done(*restore)
    assert trusted.exists()
    stack.make("up")
    assert_nothing_is_lost(stack, hello, runs, tmp_path / "home")


def test_a_watch_publishes_what_a_maintainer_has_signed(stack: Stack, second: Machine) -> None:
    """The commands are those of docs/watch.md."""
    # Its worker has a policy of its own, which does not name the watch.
    second.kill_containers()
    reference = stack.write("watched")
    folder, key = stack.clone / "compose/watch", stack.clone / "compose/watch/order-key"
    stack.done("cp", "-rL", "compose/maintainer", "compose/watch")
    for name in ("order-key", "order-key.pub"):
        (folder / name).unlink()
    stack.done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "watch", "-f", str(key))
    public = " ".join((folder / "order-key.pub").read_text().split()[:2])
    may = ("--may", f"{stack.registry}/linuxkit/**", "--key", public)
    config = "compose/secrets/administrator/farm.yml"
    stack.done(str(FARM), "--config", config, "policy", "add", "maintainer", "watch", *may)
    stack.done("chown", "-R", "10001", "compose/watch")
    signing = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={stack.clone}/compose/maintainer/order-key")
    git(stack.packages, *signing, "commit", "-q", "--amend", "--no-edit", "-S")
    port = free_port()
    with serving_git(stack.packages, stack.host, port):
        watch = f"git://{stack.host}:{port}/packages watched --forge none --every 1s"
        env = stack.clone / "compose/.env"
        env.write_text(re.sub("(?m)^WATCH=.*", f"WATCH={watch}", env.read_text()))
        stack.make("compose", "ARGS=--profile watch up --detach --build watch")
        wait_until(
            lambda: "packages published: 1 (run r" in stack.compose("logs", "watch"),
            120,
            otherwise=lambda: stack.compose("logs", "watch"),
        )
        container = stack.containers()["watch"]
        assert Path("/proc", str(container["State"]["Pid"])).stat().st_uid == 10001
        assert "signed" in stack.farm("inspect", reference)
        stack.make("compose", "ARGS=--profile watch rm --stop --force watch")


@contextmanager
def serving_git(repository: Path, host: str, port: int) -> Iterator[None]:
    """Serve a repository by git's own protocol, at HOST:PORT/NAME."""
    command = ["git", "daemon", f"--listen={host}", f"--port={port}", "--reuseaddr", "--export-all"]
    command += [f"--base-path={repository.parent}", str(repository)]
    with subprocess.Popen(command, start_new_session=True) as daemon:
        try:
            yield
        finally:
            os.killpg(daemon.pid, signal.SIGKILL)


def ids(stack: Stack) -> frozenset[str]:
    """The ids of all containers."""
    return frozenset(one["Id"] for one in stack.containers().values())


def notary(stack: Stack, *words: str) -> str:
    """Run notary as the administrator."""
    secrets = "compose/secrets"
    authority = [
        f"--tls{kind}={secrets}/administrator.{file}" for kind, file in (("cert", "crt"), ("key", "key"))
    ]
    server = ["-s", f"https://{stack.notary}", "--tlscacert", f"{secrets}/ca.crt", *authority]
    command = ["notary", *server, "-d", f"{secrets}/administrator/docker/trust", *words]
    return stack.done(*command, NOTARY_TARGETS_PASSPHRASE=stack.secret("root-passphrase"))


def signing_keys(stack: Stack, name: str) -> frozenset[str]:
    """The ids of the keys that may sign for a name."""
    return frozenset(re.findall(r"[0-9a-f]{64}", notary(stack, "delegation", "list", name)))


OLD_LOGIN = "FARM_BROKER_FILE= FARM_BROKER=$URL farm workers 2>&1 || true"


def assert_nothing_is_lost(stack: Stack, reference: str, runs: str, home: Path) -> None:
    """Runs, the image and its signature are as before, and nothing is built again."""
    assert stack.farm("status", "--json") == runs
    pulled = docker_as(stack.docker_user(home), "pull", "--quiet", "--platform=linux/amd64", reference)
    assert pulled.code == 0, pulled.err
    assert "nothing to do" in stack.farm("push", "hello")
