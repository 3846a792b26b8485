"""compose/init and the other scripts: the files they make, never overwrite, and print."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from compose.make import own_arch
from farm.settings import load_settings
from farm.state.redis_checks import USERS
from farm.trust.notary.admin_keys import root_keys
from farm.trust.notary.keys import openssl
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.pins import read_pins
from lab.machine import ARCHES, ROOT
from tests.support.clone import HOST, Clone

if TYPE_CHECKING:
    from pathlib import Path

CERTIFIED = (
    *("redis", "registry", "notary-gate", "notary-server", "notary-signer", "database"),
    *("publisher", "administrator"),
)
SIGNING_FILES = (
    *("delegation.pem", "delegation-passphrase", "cosign.key", "cosign-passphrase", "worker-key"),
    *("root-passphrase", "ca.key", "publisher.key"),
)
CLIENT_CERTIFICATES = {
    f"secrets/{folder}/{HOST}:4443/client.cert" for folder in ("publisher-tls", "administrator/docker/tls")
}


@pytest.fixture
def new(tmp_path: Path) -> Clone:
    """A clone in which the scripts have made nothing yet."""
    return Clone(tmp_path / "clone")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone after compose/init, which no test changes."""
    clone = Clone(tmp_path_factory.mktemp("made") / "clone")
    assert clone.init().returncode == 0
    return clone


@pytest.fixture
def clone(made: Clone, tmp_path: Path) -> Clone:
    """A clone after compose/init."""
    return Clone(tmp_path / "clone", made.directory)


def assert_refused(clone: Clone, said: str, script: str, *words: str, given: bytes = b"") -> None:
    """Check that a script refuses its input and changes nothing."""
    before = clone.made()
    done = clone.run(script, *words, given=given)
    assert (done.returncode, clone.made()) == (2, before)
    assert said in done.stderr.decode()


def test_init_prints_what_it_made_and_makes_nothing_the_second_time(new: Clone) -> None:
    first = new.init()
    assert first.returncode == 0, first.stderr
    assert b"compose/secrets/ca.key" in first.stdout
    before = new.made()
    again = new.init()
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
    assert new.made() == before


def test_init_refuses_another_host_and_changes_nothing(clone: Clone) -> None:
    assert_refused(clone, "FARM_HOST=farm.example.org, not other.example.org", "init", "other.example.org")


@pytest.mark.parametrize(
    "name", ["compose/secrets/redis.crt", "compose/secrets/broker-worker", "compose/.env"]
)
def test_init_completes_what_a_kill_interrupted_and_keeps_the_rest(clone: Clone, name: str) -> None:
    before = clone.made()
    (clone.directory / name).unlink()
    assert clone.init().returncode == 0
    assert clone.made().keys() == before.keys()
    assert clone.changed(before) <= {name}


def test_only_their_owner_can_read_secrets(made: Clone) -> None:
    readable = [file for file in made.secrets.rglob("*") if file.is_file() and file.stat().st_mode & 0o077]
    assert readable == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "farm.example.org:5000", "-x"])
def test_init_refuses_a_host_that_other_machines_cannot_use(new: Clone, host: str) -> None:
    assert_refused(new, "compose", "init", host)


def test_a_bundle_makes_a_worker_and_contains_no_key_that_signs(clone: Clone, tmp_path: Path) -> None:
    clone.env.unlink()
    assert clone.init("--worker").returncode == 0
    other = Clone(tmp_path / "other")
    bundle = clone.bundle_for(other)
    for name in SIGNING_FILES:
        assert (clone.secrets / name).read_bytes().strip() not in bundle
    assert (clone.directory / "compose/maintainer/order-key").read_bytes() not in bundle
    assert (other.secrets / "worker-key").read_bytes() not in [bundle, *clone.made().values()]
    joined = other.join(bundle)
    assert joined.returncode == 0, joined.stderr
    env = other.env.read_text()
    assert "\nCOMPOSE_PROFILES=worker\n" in env
    assert "\nMACHINE=second\n" in env
    assert f"\nFARM_HOST={HOST}\n" in env
    before = other.made()
    assert other.join(bundle).stdout == b""
    clone.run("renew", f"broker-worker-{own_arch()}")
    refused = other.join(clone.bundle_for(other))
    assert (refused.returncode, other.made()) == (2, before)


def test_a_new_bundle_replaces_the_files_of_an_earlier_one_only(clone: Clone, tmp_path: Path) -> None:
    other = Clone(tmp_path / "other")
    other.join(clone.bundle_for(other))
    own = other.secrets / "engine" / "ca.pem"
    own.write_text("the CA of an engine")
    before = other.made()
    clone.run("renew", "ca", f"broker-worker-{own_arch()}", "registry-worker")
    bundle = clone.run("bundle", "--arch", own_arch()).stdout
    done = other.join(bundle, "--renew")
    assert done.returncode == 0, done.stderr
    changed = {path.removeprefix("compose/secrets/") for path in other.changed(before)}
    assert changed == {"ca.crt", "broker-worker", "docker-worker.json", f"certs.d/{HOST}:5000/ca.crt"}
    for name in changed:
        source = f"{name}-{own_arch()}" if name == "broker-worker" else name
        assert (other.secrets / name).read_text() == (clone.secrets / source).read_text()
    assert other.trusted.read_text() == (clone.secrets / "ca.crt").read_text()
    assert other.join(bundle).stdout == b""


def test_init_refuses_a_machine_whose_engine_trusts_another_ca_for_the_registry(clone: Clone) -> None:
    clone.trusted.write_text("the CA of an earlier farm")
    assert_refused(clone, f"{clone.trusted} is the certificate of another CA", "init", HOST)
    assert clone.trusted.read_text() == "the CA of an earlier farm"
    clone.trusted.unlink()
    assert clone.init().returncode == 0
    assert clone.trusted.read_text() == (clone.secrets / "ca.crt").read_text()


def test_a_file_that_is_not_a_bundle_is_refused(new: Clone) -> None:
    assert_refused(new, "not a bundle", "join", "-", given=b"no tar")


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("broker-maintainer", {"secrets/broker-maintainer", "maintainer/broker"}),
        ("registry-worker", {"secrets/registry-users", "secrets/docker-worker.json"}),
        ("flower-password", {"secrets/flower-password"}),
        ("notary-signer-passphrases", {"secrets/notary-signer-passphrases"}),
        ("certificates", {f"secrets/{name}.crt" for name in CERTIFIED} | CLIENT_CERTIFICATES),
    ],
)
def test_renewing_a_secret_changes_all_its_copies_and_nothing_else(
    clone: Clone, name: str, changed: set[str]
) -> None:
    before = clone.made()
    assert clone.run("renew", name).returncode == 0
    assert {f"compose/{path}" for path in changed} == clone.changed(before)


@pytest.mark.parametrize("name", ["registry-worker", "certificates", "ca", "flower-password"])
def test_renewing_keeps_a_file_of_init_that_the_site_replaced(clone: Clone, name: str) -> None:
    logins = clone.secrets / "docker-worker.json"
    logins.chmod(0o600)
    logins.write_text('{"auths": {"registry.example.org": {}}}')
    added = [clone.secrets / "site.crt", clone.secrets / "certs.d" / "registry.example.org" / "ca.crt"]
    for path in added:
        path.parent.mkdir(exist_ok=True)
        path.write_text("the site's own")
    assert clone.run("renew", name).returncode == 0
    assert logins.read_text() == '{"auths": {"registry.example.org": {}}}'
    assert [path.read_text() for path in added] == ["the site's own"] * 2


def test_a_new_ca_replaces_everything_but_the_signing_key_and_the_root_key(clone: Clone) -> None:
    old = (clone.secrets / "ca.crt").read_bytes()
    before = clone.made()
    done = clone.run("renew", "ca")
    assert done.returncode == 0, done.stderr
    after = clone.made()
    new = clone.secrets / "ca.crt"
    assert after.keys() == before.keys()
    assert [path for path, content in after.items() if old in content] == []
    assert clone.trusted.read_bytes() == new.read_bytes() != old
    kept = {
        path for path in after if after[path] == before[path] and path.endswith((".key", ".crt", ".cert"))
    }
    (root,) = read_pins(clone.secrets / "pins.yml").roots.values()
    keys = "compose/secrets/administrator/docker/trust/private"
    secrets = "compose/secrets"
    assert kept == {f"{secrets}/delegation.crt", f"{secrets}/cosign.key", f"{keys}/{root[0]}.key"}
    for name in ("policy/policy.yml", "maintainer/policy.yml", "maintainer/order-key"):
        assert after[f"compose/{name}"] == before[f"compose/{name}"]
    assert_there_is_one_ca(clone)


# Ends the process, as a kill does, right after its nth change of the directory.
DEADLY = """
import os, pathlib, sys
left = int(sys.argv[1])
def deadly(change):
    def changed(*arguments, **options):
        global left
        change(*arguments, **options)
        left -= 1
        if not left:
            os._exit(9)
    return changed
os.link = deadly(os.link)
for name in ("unlink", "replace"):
    setattr(pathlib.Path, name, deadly(getattr(pathlib.Path, name)))
from compose.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("change", [1, 8, 16, 28, 29, 30, 40, 60, 80, 100])
def test_init_completes_a_renewal_of_the_ca_that_was_killed(clone: Clone, change: int) -> None:
    words = [str(change), "renew", "ca", f"--docker-certs={clone.trusted.parent.parent}"]
    env = os.environ | {"PYTHONPATH": str(clone.directory)}
    killed = subprocess.run([sys.executable, "-P", "-c", DEADLY, *words], env=env, check=False, timeout=120)
    assert killed.returncode == 9
    done = clone.init()
    assert done.returncode == 0, done.stderr
    assert_there_is_one_ca(clone)


def assert_there_is_one_ca(clone: Clone) -> None:
    """Every certificate is issued by the CA, and every copy of the CA is the same."""
    ca = clone.secrets / "ca.crt"
    assert {copy.read_bytes() for copy in clone.directory.rglob("*ca.crt")} == {ca.read_bytes()}
    clients = [clone.secrets / path.removeprefix("secrets/") for path in CLIENT_CERTIFICATES]
    certificates = [*(clone.secrets / f"{name}.crt" for name in CERTIFIED), *clients]
    words = ["verify", "-CAfile", str(ca), *map(str, certificates)]
    verified = openssl(words, TrustDeadline.after(60, "openssl"))
    assert verified.returncode == 0, verified.stderr
    for certificate in certificates:
        # It raises an error unless the key is that of the certificate.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, certificate.with_suffix(".key"))


def test_a_new_ca_is_refused_if_the_engine_trusts_another_one_and_nothing_is_changed(clone: Clone) -> None:
    clone.trusted.write_text("the CA of another farm")
    assert_refused(clone, "is the certificate of another CA", "renew", "ca")


@pytest.fixture
def building(clone: Clone) -> Clone:
    """A clone whose machine builds, too."""
    clone.env.unlink()
    assert clone.init("--worker").returncode == 0
    return clone


def sources(service: dict[str, Any]) -> set[str]:
    """What of its machine a service can reach: secrets by their names, and what is mounted."""
    mounts = {mount["source"] for mount in service.get("volumes", [])}
    return mounts | {secret["source"] for secret in service.get("secrets", [])}


SOCKET = "/var/run/docker.sock"
SIGNING = {"delegation.pem", "delegation-passphrase", "cosign.key", "cosign-passphrase"}


def test_by_default_the_machine_with_the_signing_key_gives_no_container_its_engine(new: Clone) -> None:
    """A build that breaks out of its container owns its machine."""
    assert new.run("init", HOST).stderr == b""
    services = new.stack()["services"]
    assert "publisher" in services
    assert [name for name, one in services.items() if SOCKET in sources(one)] == []
    assert {name for name, one in services.items() if SIGNING & sources(one)} == {"publisher"}


def test_a_worker_beside_the_signing_key_must_be_asked_for_and_is_warned_of(new: Clone) -> None:
    for option in ("--worker", "--emulate"):
        done = new.run("init", HOST, option)
        assert b"breaks out of its container" in done.stderr
        assert b"signing key" in done.stderr
        services = new.stack()["services"]
        reach = [sources(one) for one in services.values() if SOCKET in sources(one)]
        assert reach
        assert [found for found in reach if found & SIGNING] == []
        new.env.unlink()


def test_a_worker_of_one_architecture_logs_in_to_redis_as_its_user(clone: Clone) -> None:
    clone.env.unlink()
    assert clone.init("--emulate").returncode == 0
    services = clone.stack()["services"]
    for arch in ARCHES:
        assert f"broker-worker-{arch}" in sources(services[f"worker-{arch}"])
        assert f"//worker-{arch}:" in (clone.secrets / f"broker-worker-{arch}").read_text()
    logins = {name for one in services.values() for name in sources(one) if name.startswith("broker-")}
    for name, one in services.items():
        own = {found for found in sources(one) if found.startswith("broker-")}
        assert len(own) <= 1 or (name, own >= logins) == ("redis", True)


def test_redis_has_a_user_for_every_secret_and_a_secret_for_every_user(clone: Clone) -> None:
    users = (ROOT / "config" / "redis" / "users.acl").read_text()
    secrets = {name.removeprefix("broker-") for name in sources(clone.stack()["services"]["redis"])}
    assert {*re.findall(r"^user (\S+) on #\{\1\}", users, re.MULTILINE)} == secrets & {*USERS, "operator"}
    assert {*USERS, "operator"} <= secrets


def test_a_bundle_for_one_architecture_takes_no_jobs_of_others(clone: Clone, tmp_path: Path) -> None:
    other = Clone(tmp_path / "other")
    assert other.join(clone.bundle_for(other, "--arch=arm64")).returncode == 0
    own = (other.secrets / "broker-worker").read_text()
    assert own == (clone.secrets / "broker-worker-arm64").read_text()
    assert "//worker-arm64:" in own
    assert_refused(clone, "invalid choice", "bundle", "--arch", "vax")


def test_a_worker_needs_no_emulation_unless_asked_for(building: Clone) -> None:
    services = building.stack()["services"]
    workers = {name: one for name, one in services.items() if "FARM_EMULATE" in one.get("environment", {})}
    assert {name: one.get("command") for name, one in workers.items()} == {"worker": None}
    assert workers["worker"]["environment"]["FARM_EMULATE"] == "false"


def test_with_emulation_there_is_a_worker_for_each_architecture(building: Clone) -> None:
    clone = building
    plain = set(clone.stack()["services"])
    clone.env.unlink()
    assert clone.init("--emulate").returncode == 0
    services = clone.stack()["services"]
    assert services.keys() == plain - {"worker"} | {f"worker-{arch}" for arch in ARCHES}
    for arch in ARCHES:
        one = services[f"worker-{arch}"]
        assert (one["command"], one["environment"]["FARM_EMULATE"]) == (["worker", "--arch", arch], "true")


def test_every_worker_sees_the_disk_of_its_machines_engine(building: Clone) -> None:
    stack = building.stack()
    (worker,) = (
        one for one in stack["services"].values() if "FARM_ENGINE_DISK" in one.get("environment", {})
    )
    places = {mount["target"]: mount for mount in worker["volumes"]}
    mount = places[worker["environment"]["FARM_ENGINE_DISK"]]
    assert (mount["type"], mount["source"], mount["read_only"]) == ("volume", "engine-disk", True)


def test_every_container_has_a_limit_of_memory_processors_and_processes(clone: Clone) -> None:
    for name, one in clone.stack()["services"].items():
        limits = one["deploy"]["resources"]["limits"]
        assert limits.keys() == {"memory", "cpus", "pids"}, name


def test_the_database_is_healthy_only_if_it_answers_where_its_clients_connect(clone: Clone) -> None:
    *_, command = clone.stack()["services"]["database"]["healthcheck"]["test"]
    assert "pg_isready" in command
    assert "/dev/tcp/database/5432" in command


@pytest.mark.parametrize("target", ["up", "worker"])
def test_images_that_newer_ones_replaced_are_removed_and_those_of_other_projects_kept(
    clone: Clone, target: str
) -> None:
    words = ["make", "--just-print", "--file", str(ROOT / "Makefile"), target]
    for project in ("farm", "site"):
        clone.env.write_text(f"COMPOSE_PROJECT_NAME={project}\n")
        done = subprocess.run(words, cwd=clone.directory, capture_output=True, check=True, timeout=60)
        *_, last = done.stdout.decode().splitlines()
        assert f"docker image prune --force --filter label=com.docker.compose.project={project} " in last


@pytest.mark.parametrize("named", ["", "notary-ca.pem"])
def test_every_client_of_the_notary_server_gets_its_ca_and_the_pin_of_the_sites_root_key(
    new: Clone, named: str
) -> None:
    where = new.directory / named
    if named:
        where.write_text("the CA of the site's notary server\n")
    given = [f"--set=NOTARY_CA={where}", "--set=NOTARY_SERVER=https://notary.example.org"] if named else []
    done = new.init(*given)
    assert done.returncode == 0, done.stderr
    ca = where if named else new.secrets / "ca.crt"
    for folder in (new.directory / "compose" / "maintainer", new.secrets / "administrator"):
        settings = load_settings({}, config=folder / "farm.yml", environ={})
        assert settings.notary_server == ("https://notary.example.org" if named else f"https://{HOST}:4443")
        assert settings.notary_ca
        assert settings.notary_ca.read_text() == ca.read_text()
        assert settings.trust_pins
        pinned = read_pins(settings.trust_pins).ids(f"{HOST}:5000/linuxkit/foo")
        assert pinned == root_keys(new.secrets / "administrator/docker/trust") != ()
    stack = new.stack()
    publisher = stack["services"]["publisher"]["environment"]
    assert publisher["FARM_NOTARY_SERVER"] == settings.notary_server
    assert publisher["FARM_NOTARY_CA"] == "/run/secrets/notary-ca.crt"
    assert stack["secrets"]["notary-ca.crt"]["file"] == str(ca)
    assert publisher["FARM_TRUST_PINS"] == "/run/secrets/pins.yml"
    assert stack["secrets"]["pins.yml"]["file"] == str(new.secrets / "pins.yml")


def test_a_missing_notary_ca_is_named(new: Clone) -> None:
    refused = new.init("--set=NOTARY_CA=/no/such.pem")
    assert refused.returncode == 2
    assert b"cannot read /no/such.pem, the notary server's CA" in refused.stderr


@pytest.mark.parametrize(("script", "word"), [("backup", "new"), ("restore", "saved")])
def test_without_docker_compose_a_backup_fails_with_a_hint(clone: Clone, script: str, word: str) -> None:
    clone.save(clone.directory / "saved")
    done = clone.run(script, str(clone.directory / word))
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "compose: cannot run /no/docker-compose: No such file or directory "
        "(install Docker Compose 2.20 or later, or set COMPOSE to its program)\n"
    )
    assert not (clone.directory / "new").exists()


def test_without_docker_compose_an_empty_machine_stays_empty(made: Clone, new: Clone, tmp_path: Path) -> None:
    assert_refused(new, "/no/docker-compose", "restore", str(made.save(tmp_path / "saved")))
    assert new.made() == {}


def test_an_unreadable_file_is_reported_in_one_line(clone: Clone) -> None:
    unreadable = clone.secrets / "broker-worker"
    unreadable.unlink()
    unreadable.mkdir()
    done = clone.run("bundle")
    assert done.returncode == 1
    assert done.stderr.decode() == f"compose: {unreadable}: Is a directory\n"


@pytest.mark.parametrize("other", ["ca", "notary-signer-passphrases", "host"])
def test_a_backup_of_another_site_is_refused_before_anything_is_changed(
    clone: Clone, tmp_path: Path, other: str
) -> None:
    saved = clone.save(tmp_path / "saved")
    if other == "ca":
        clone.run("renew", "ca")
    elif other == "host":
        text = clone.env.read_text()
        clone.env.write_text(text.replace(f"FARM_HOST={HOST}", "FARM_HOST=other.example.org"))
    else:
        (clone.secrets / other).unlink()
        clone.init()
    said = "this machine has other secrets than the backup (move compose/.env, "
    assert_refused(clone, said, "restore", str(saved))


def test_a_site_with_a_newer_passphrase_accepts_its_own_backup(clone: Clone, tmp_path: Path) -> None:
    saved = clone.save(tmp_path / "saved")
    clone.run("renew", "notary-signer-passphrases", "broker-worker")
    # It gets as far as Docker Compose, which does not exist here.
    assert_refused(clone, "/no/docker-compose", "restore", str(saved))


@pytest.mark.parametrize("content", [None, b"no tar"])
def test_a_directory_without_a_backup_is_refused(new: Clone, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "site.tar").write_bytes(content)
    assert_refused(new, "is not a backup", "restore", str(tmp_path))


def test_a_new_signer_passphrase_keeps_the_old_ones(clone: Clone) -> None:
    path = clone.secrets / "notary-signer-passphrases"
    first = path.read_text()
    clone.run("renew", "notary-signer-passphrases")
    lines = path.read_text()
    assert lines.startswith(first)
    assert [line.split()[0] for line in lines.splitlines()] == ["farm1", "farm2"]


def test_the_scripts_need_the_standard_library_only(new: Clone) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import compose.__main__"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, str(new.directory)], check=True, timeout=60)
