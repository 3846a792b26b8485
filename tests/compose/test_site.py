"""compose/init and its like: what they make, what they never overwrite, what they tell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from farm.settings import FIELDS, SECRET_FILES
from lab.setup import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOST = "farm.example.org"
CERTIFIED = (
    *("redis", "registry", "notary-gate", "notary-server", "notary-signer", "database"),
    *("publisher", "administrator"),
)
SHOWN = {
    f"secrets/{folder}/{HOST}:4443/client.cert" for folder in ("publisher-tls", "administrator/docker/tls")
}


class Clone:
    """A clone's scripts, and what they print."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("compose", "farm"):
            shutil.copytree(
                ROOT / name, directory / name, ignore=shutil.ignore_patterns("wheelhouse", "secrets")
            )
        for name in (".env", "maintainer"):
            left = directory / "compose" / name
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)

    def run(self, script: str, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one of compose/'s scripts."""
        command = [str(self.directory / "compose" / script), *words]
        return subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)

    def init(self, *words: str, host: str = HOST) -> subprocess.CompletedProcess[bytes]:
        """Run compose/init, without an engine."""
        own = [f"--socket={self.directory}/none", f"--docker-certs={self.directory}/certs"]
        return self.run("init", host, *own, *words)

    def made(self) -> dict[str, bytes]:
        """All that the scripts make, by path."""
        places = [self.directory / "compose" / name for name in (".env", "secrets", "maintainer")]
        files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
        return {str(file.relative_to(self.directory)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone in which nothing was made yet."""
    return Clone(tmp_path)


def test_init_says_what_it_made_and_the_second_time_makes_nothing(clone: Clone) -> None:
    first = clone.init()
    assert first.returncode == 0, first.stderr
    assert b"compose/secrets/ca.key" in first.stdout
    before = clone.made()
    again = clone.init()
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
    assert clone.made() == before


def test_init_refuses_another_host_and_changes_nothing(clone: Clone) -> None:
    clone.init()
    before = clone.made()
    refused = clone.init(host="other.example.org")
    assert refused.returncode == 2
    assert b"FARM_HOST=farm.example.org, not other.example.org" in refused.stderr
    assert clone.made() == before


@pytest.mark.parametrize(
    "name", ["compose/secrets/redis.crt", "compose/secrets/broker-worker", "compose/.env"]
)
def test_init_completes_what_a_kill_left_undone_and_keeps_the_rest(clone: Clone, name: str) -> None:
    clone.init()
    before = clone.made()
    (clone.directory / name).unlink()
    assert clone.init().returncode == 0
    after = clone.made()
    assert after.keys() == before.keys()
    assert {path for path in before if before[path] != after[path]} <= {name}


def test_secrets_are_for_their_owner_alone(clone: Clone) -> None:
    clone.init()
    secrets = clone.directory / "compose" / "secrets"
    open_ones = [file for file in secrets.rglob("*") if file.is_file() and file.stat().st_mode & 0o077]
    assert open_ones == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "farm.example.org:5000", "-x"])
def test_init_refuses_a_host_that_others_cannot_use(clone: Clone, host: str) -> None:
    assert clone.init(host=host).returncode == 2
    assert clone.made() == {} or not (clone.directory / "compose" / ".env").exists()


def test_a_bundle_makes_a_worker_s_machine_and_holds_no_key_that_signs(clone: Clone, tmp_path: Path) -> None:
    clone.init()
    bundle = clone.run("bundle").stdout
    for name in ("delegation.pem", "delegation-passphrase", "root-passphrase", "ca.key", "publisher.key"):
        assert (clone.directory / "compose" / "secrets" / name).read_bytes().strip() not in bundle
    other = Clone(tmp_path / "other")
    own = [f"--socket={tmp_path}/none", f"--docker-certs={tmp_path}/other/certs", "--machine=second"]
    joined = other.run("join", "-", *own, given=bundle)
    assert joined.returncode == 0, joined.stderr
    env = (other.directory / "compose" / ".env").read_text()
    assert "\nCOMPOSE_PROFILES=worker\n" in env
    assert "\nMACHINE=second\n" in env
    assert f"\nFARM_HOST={HOST}\n" in env
    before = other.made()
    assert other.run("join", "-", *own, given=bundle).stdout == b""
    (clone.directory / "compose" / "secrets" / "broker-worker").unlink()
    clone.init()
    refused = other.run("join", "-", *own, given=clone.run("bundle").stdout)
    assert (refused.returncode, other.made()) == (2, before)


def test_what_is_no_bundle_is_refused(clone: Clone) -> None:
    refused = clone.run("join", "-", given=b"no tar")
    assert refused.returncode == 2
    assert b"no bundle" in refused.stderr
    assert clone.made() == {} or not (clone.directory / "compose" / ".env").exists()


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("broker-maintainer", {"secrets/broker-maintainer", "maintainer/broker"}),
        ("registry-worker", {"secrets/registry-users", "secrets/docker-worker.json"}),
        ("flower-password", {"secrets/flower-password"}),
        ("notary-signer-passphrases", {"secrets/notary-signer-passphrases"}),
        ("certificates", {f"secrets/{name}.crt" for name in CERTIFIED} | SHOWN),
    ],
)
def test_renewing_a_secret_changes_it_wherever_it_stands_and_nothing_else(
    clone: Clone, name: str, changed: set[str]
) -> None:
    clone.init()
    before = clone.made()
    done = clone.run("renew", name)
    assert done.returncode == 0, done.stderr
    after = clone.made()
    assert {f"compose/{path}" for path in changed} == {
        path for path in after if before.get(path) != after[path]
    }


def test_a_new_signer_passphrase_keeps_the_old_ones(clone: Clone) -> None:
    clone.init()
    path = clone.directory / "compose" / "secrets" / "notary-signer-passphrases"
    first = path.read_text()
    clone.run("renew", "notary-signer-passphrases")
    lines = path.read_text()
    assert lines.startswith(first)
    assert [line.split()[0] for line in lines.splitlines()] == ["farm1", "farm2"]


def test_every_variable_of_compose_yaml_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "compose" / "compose.yaml").read_text()))
    example = (ROOT / "compose" / ".env.example").read_text()
    told = set(re.findall(r"^([A-Z0-9_]+)=", example, re.MULTILINE))
    assert used == told - {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}


def test_the_stack_sets_only_what_the_farm_knows() -> None:
    services = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]
    names = {name for service in services.values() for name in service.get("environment", {})}
    known = {f"FARM_{name.upper()}" for name in (*FIELDS, *SECRET_FILES)} | {"FARM_CONFIG"}
    assert names <= known


def test_the_images_lock_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.match(r"[A-Za-z0-9-]+", line)[0].lower() for line in project["dependencies"]}  # type: ignore[index]
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "compose" / "requirements.txt").read_text(), re.MULTILINE)
    assert asked <= {*locked}


def test_the_scripts_need_nothing_that_is_not_in_python(clone: Clone) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import compose.__main__"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(clone.directory)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
