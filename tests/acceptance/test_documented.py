"""JSON output and the keys in Redis are as docs/ describes them."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from docs.generate import ROOT
from docs.schema import SCHEMA, cases, fields, type_name
from tests.support.farm_command import BUSYBOX, Workspace, wait_until
from tests.support.http import send
from tests.support.json_output import SchemaChecker, schema_of
from tests.support.remote_farm import RemoteFarm, Sleep
from tests.support.ssh_keys import ssh_public_key, worker_key

pytestmark = pytest.mark.timeout(900)
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
UNSEEN = {"NoRun.run", "NothingToRetry.run", "Package.waitingFor", "Worker.trouble"}
"""Fields that are null by definition, or unless a disk is full or two packages are published at once."""


class Printed:
    """The JSON output of commands, by verb and type."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.values: dict[tuple[str, str], list[Any]] = {}

    def take(self, kind: str, *words: str, code: int = 0, **variables: str) -> Any:
        """Run a command with --json and keep its output as a value of the type `kind`."""
        answer = self.workspace.farm(*words, "--json", **variables)
        assert answer.code == code, f"{answer.out}\n{answer.err}"
        verb = next(verb for verb in (" ".join(words[:2]), words[0]) if verb in SCHEMA["properties"])
        self.values.setdefault((verb, kind), []).append(answer.json)
        return answer.json


@pytest.fixture(scope="module")
def printed(lasting: Workspace) -> Printed:
    """The output of every command with --json, where runs succeeded, failed, waited, or had nothing to do."""
    return _print_everything(lasting)


def _print_everything(workspace: Workspace) -> Printed:
    workspace.write("fine", Dockerfile=f"{BUSYBOX}RUN date\n", arches="amd64")
    native = f"{BUSYBOX}RUN test $(uname -m) = x86_64\n"
    workspace.write("half", Dockerfile=native, arches="amd64, arm64")
    printed = Printed(workspace)
    assert printed.take("list of PreparedName", "trust", "init", "fine")[0]["steps"]
    assert not printed.take("list of PreparedName", "trust", "init", "fine")[0]["steps"]
    printed.take("list of Tag", "show-tag", "fine")
    printed.take("Plan", "plan", "fine", "half", "--no-sign")
    printed.take("Plan", "plan", "--release", "v1", "fine", "--no-sign")
    printed.take("Plan", "plan", "half", code=4)
    run = printed.take("Submitted", "push", "fine", "--detach")["run"]
    printed.take("EndedRun", "status", "-f", run)
    failed = printed.take("EndedRun", "push", "fine", "half", "--no-sign", code=1)["run"]
    printed.take("EndedRun", "retry", failed, code=1)
    printed.take("NothingToRetry", "retry", run)
    again = printed.take("Submitted", "retry", failed, "--detach")["run"]
    printed.take("EndedRun", "status", "-f", again, code=1)
    printed.take("Run", "status", again, code=1)
    printed.take("EndedRun", "manifest", "half", "--no-sign", "--partial")
    printed.take("NoRun", "push", "fine")
    printed.take("NoRun", "manifest", "fine")
    _wait_behind_another_run(printed)
    _find_attested(printed)
    printed.take("Image", "inspect", workspace.reference("fine"))
    _sign(printed)
    workspace.variables["FARM_CACHE"] = f"{workspace.variables['FARM_STATE_DIR']}/cache"
    printed.take("list of LocalBuild", "build", "half", "--platforms", "amd64,arm64", code=1)
    printed.take("list of LocalBuild", "build", "fine")
    printed.take("list of RunSummary", "status")
    printed.take("list of Finding", "doctor")
    printed.take("SettingValues", "doctor", "--settings")
    printed.take("Failed", "status", "r999", code=1)
    _verify(printed)
    _bump(printed)
    _look_into_the_cache(printed)
    _look_at_a_policy(printed)
    name = printed.take("list of Worker", "workers")[0]["name"]
    printed.take("list of Worker", "worker", "--check", FARM_BROKER=workspace.state.broker.reveal())
    workspace.done("workers", "drain", name)
    printed.take("list of Worker", "workers")
    workspace.done("workers", "resume", name)
    ill = workspace.farm("doctor", "--json", FARM_ENGINE="unix:///nowhere")
    assert ill.code
    printed.values["doctor", "list of Finding"].append(ill.json)
    return printed


def _sign(printed: Printed) -> None:
    """Sign what is signed, print the command, sign an image of one architecture, and adopt a tag."""
    workspace = printed.workspace
    fine = workspace.reference("fine")
    printed.take("NoRun", "sign", fine)
    printed.take("list of SignResult", "sign", "--print", fine)
    printed.take("EndedRun", "sign", f"{fine}-amd64")
    workspace.done("pkg", "remote-tag", fine, f"{workspace.org}/fine:other")
    adopted = printed.take("Submitted", "sign", "--adopt", "--detach", f"{workspace.org}/fine:other")["run"]
    printed.take("EndedRun", "status", "-f", adopted)


def _verify(printed: Printed) -> None:
    """Verify what counts and what does not, and build again what differs each time."""
    workspace = printed.workspace
    printed.take("list of TagReport", "verify", workspace.reference("fine"))
    printed.take("list of TagReport", "verify", workspace.reference("attested"), code=4)
    workspace.write("other", arches="amd64", Dockerfile=f"{BUSYBOX}RUN cat /proc/uptime > /other\n")
    workspace.done("push", "--no-sign", "other")
    printed.take("RebuiltTag", "verify", "--rebuild", workspace.reference("other"), code=1)


def _bump(printed: Printed) -> None:
    workspace = printed.workspace
    workspace.write(
        "user", arches="amd64", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/fine:{workspace.tag('fine')}\n"
    )
    workspace.write("fine", arches="amd64", **{"old.yml": f"- linuxkit/fine:{'0' * 40}\n"})
    printed.take("Graph", "graph", ".")
    printed.take("Bump", "bump", "fine", "--commit")
    printed.take("Plan", "plan", "user", "--no-sign", FARM_BROKER=workspace.state.broker.reveal())
    printed.take("EndedRun", "bump", "user", "--push", "--no-sign")
    printed.take("NoRun", "bump", "user", "--push", "--no-sign")


def _look_at_a_policy(printed: Printed) -> None:
    path = f"{printed.workspace.variables['FARM_STATE_DIR']}/some.yml"
    keys = {"maintainer": (ssh_public_key(), "--may", "**"), "worker": (worker_key(), "--arch", "arm64")}
    for kind, (key, *more) in keys.items():
        printed.workspace.done("policy", "add", kind, "someone", "--key", key, *more, FARM_POLICY=path)
    printed.workspace.done("policy", "remove", "someone", FARM_POLICY=path)
    printed.take("Policy", "policy", "show", FARM_POLICY=path)


def _wait_behind_another_run(printed: Printed) -> None:
    """Two runs that need the same image: the second reports what it waits for, and so does its dependent."""
    workspace, building = printed.workspace, Sleep()
    step = f"RUN {building.command}\n"
    workspace.write("slow", Dockerfile=BUSYBOX + step, arches="amd64")
    after = f"ARG ORG\nFROM ${{ORG}}/slow:{workspace.tag('slow')}\n"
    workspace.write("after", Dockerfile=after, arches="amd64")
    endless = f"{BUSYBOX}RUN {Sleep().command}\n"
    workspace.write("endless", Dockerfile=endless, arches="amd64")
    with closing(RemoteFarm(workspace, workspace.state.broker.reveal())) as farm:
        runs = [
            workspace.done("push", "--no-sign", "--detach", "slow", "after").out.strip() for _ in range(2)
        ]
        wait_until(lambda: any(_waits(farm, run) for run in runs))
        for run in runs:
            printed.take("Run", "status", run)
        building.finish()
        for run in runs:
            workspace.done("status", "-f", run)
            printed.take("Run", "status", run)
        run = printed.take("Submitted", "push", "endless", "--detach", "--no-sign")["run"]
        wait_until(lambda: any(map(farm.is_busy, farm.worker_states())))
        printed.take("list of Worker", "workers")
        printed.take("Cancelled", "cancel", run)


def _waits(farm: RemoteFarm, run: str) -> bool:
    """Whether a job of a run waits for a job of another run."""
    packages = farm.record(run).packages.values()
    return any(job.waiting_for for package in packages for job in package.jobs.values())


def _look_into_the_cache(printed: Printed) -> None:
    """The output of every `farm cache` command, before and after the cache is damaged."""
    cache = Path(printed.workspace.variables["FARM_CACHE"])
    names = printed.take("list of CachedName", "cache", "ls")
    archive = str(cache.parent / "archive.tar")
    printed.workspace.done("cache", "export", names[0]["name"], "--arch", "all", "--outfile", archive)
    printed.take("list of CachedName", "cache", "import", archive)
    _name_a_platform(cache)
    printed.take("list of CachedName", "cache", "ls")
    printed.take("Pruned", "cache", "prune")
    assert printed.take("list of CacheProblem", "cache", "verify") == []
    (cache / "blobs" / "sha256" / names[0]["digest"].removeprefix("sha256:")).unlink()
    printed.take("list of CacheProblem", "cache", "verify", code=1)


def _name_a_platform(cache: Path) -> None:
    """Add the platform to an image in the cache, as other programs that write image layouts may."""
    index = json.loads((cache / "index.json").read_text())
    index["manifests"][0]["platform"] = {"architecture": "amd64", "os": "linux"}
    (cache / "index.json").write_text(json.dumps(index))


def _find_attested(printed: Printed) -> None:
    """Push an architecture tag that is an index with an attestation, as other tools do."""
    workspace = printed.workspace
    workspace.write("attested", arches="amd64")
    workspace.done("push", "--no-sign", "attested")
    digest = workspace.done("inspect", "--no-sign", "--json", workspace.reference("attested")).json["images"][
        0
    ]
    workspace.write("attested", Dockerfile=f"{BUSYBOX}RUN true\n", arches="amd64")
    tag = workspace.tag("attested")
    statement = {"schemaVersion": 2, "mediaType": MANIFEST, "config": digest["config"], "layers": []}
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": digest["digest"],
    }
    image = {key: digest[key] for key in ("mediaType", "digest", "size")}
    attestation = _put(workspace, None, MANIFEST, statement)
    members = [
        image | {"platform": {"architecture": "amd64", "os": "linux", "variant": "v2"}},
        attestation | {"platform": {"architecture": "unknown", "os": "unknown"}, "annotations": about},
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": members}
    _put(workspace, f"{tag}-amd64", INDEX, index)
    printed.take("EndedRun", "push", "--no-sign", "--adopt", "attested")
    # The farm takes the platform from the image itself; other tools do not.
    _put(workspace, "other", INDEX, index)
    printed.take("Image", "inspect", "--no-sign", f"{workspace.org}/attested:other")


def _put(workspace: Workspace, tag: str | None, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Push a manifest of the package `attested` by hand; returns its descriptor."""
    body = json.dumps(content).encode()
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    host, _, path = workspace.org.partition("/")
    url = f"http://{host}/v2/{path}/attested/manifests/{tag or digest}"
    assert send("PUT", url, body=body, headers={"Content-Type": kind}).status == 201
    return {"mediaType": kind, "digest": digest, "size": len(body)}


CASES = [(verb, type_name(case)) for verb in SCHEMA["properties"] for case in cases(verb)]


@pytest.mark.parametrize(("verb", "kind"), CASES, ids=[" ".join(case) for case in CASES])
def test_json_is_as_documented(printed: Printed, verb: str, kind: str) -> None:
    checker, schema = SchemaChecker(), schema_of(verb, kind)
    assert [line for value in printed.values[verb, kind] for line in checker.errors(schema, value)] == []


def test_every_documented_field_is_printed(printed: Printed) -> None:
    checker = SchemaChecker()
    for (verb, kind), values in printed.values.items():
        for value in values:
            assert checker.errors(schema_of(verb, kind), value) == []
    assert fields() - checker.seen == UNSEEN


def test_every_key_in_redis_is_documented(printed: Printed) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    documented = [re.sub(r"[A-Z]+", ".+", re.escape(name)) for name in re.findall(r"\| `(farm:[^`]+)`", page)]
    with Redis(unix_socket_path=str(printed.workspace.state.socket), decode_responses=True) as redis:
        keys = [key for key in redis.scan_iter() if key.startswith("farm:")]
    assert len(keys) > 10
    assert [key for key in keys if not any(re.fullmatch(pattern, key) for pattern in documented)] == []
