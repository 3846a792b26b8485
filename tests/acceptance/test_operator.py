"""What an operator sees in Flower, and that secrets are visible nowhere."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from flower.urls import handlers
from redis import Redis
from urllib3.exceptions import HTTPError

from lab.process import free_port
from tests.support.farm_command import BUSYBOX, Workspace, wait_until
from tests.support.http import send

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from tests.acceptance.conftest import NewWorkspace

LOOKS = 50
"""Looks at a process, which take more than a second: it starts its last program earlier."""
PASSWORD = "flower-pass-7c1"
FINE = f"{BUSYBOX}RUN uname -m\n"
BAD = f"{BUSYBOX}RUN echo lost; exit 7\n"


class Watched:
    """A running farm with Flower, one package that succeeded, and one that failed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.url = f"http://127.0.0.1:{free_port()}"
        self.variables = {"FARM_FLOWER_PORT": self.url.rpartition(":")[2], "FARM_FLOWER_PASSWORD": PASSWORD}
        self.seen: set[str] = set()
        """The command lines of all processes, collected continuously."""

    def get(self, path: str, login: tuple[str, str] | None = ("farm", PASSWORD)) -> BaseHTTPResponse:
        """Ask Flower."""
        return send("GET", self.url + path, login=login)

    def page(self, path: str) -> str:
        """Flower's answer as text."""
        return self.get(path).data.decode()

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Flower's tasks by name."""
        return {task["name"]: task for task in self.get("/api/tasks").json().values()}

    def ended(self, name: str, state: str = "SUCCESS") -> dict[str, Any]:
        """A task in this final state, once Flower has also received the event of its sender."""
        wait_until(
            lambda: (task := self.tasks().get(name, {})).get("state") == state and task["sent"],
            otherwise=lambda: f"{name} is not {state}: {self.page('/api/tasks')}",
        )
        return self.tasks()[name]

    def answers(self) -> bool:
        """Whether Flower is up."""
        try:
            return self.get("/").status == HTTPStatus.OK
        except HTTPError:
            return False

    def look(self, ended: threading.Event) -> None:
        """Collect command lines until stopped: often from new processes, and from all at the end."""
        looks: Counter[Path] = Counter()
        while not ended.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                looks[process] += 1
                if looks[process] <= LOOKS:
                    self._read(process)
        for process in looks:
            self._read(process)

    def _read(self, process: Path) -> None:
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            self.seen.add(words.decode(errors="replace"))


def log_in(workspace: Workspace) -> str:
    """Log in to the guarded registry as docker does; returns the resulting configuration."""
    login = base64.b64encode(":".join(workspace.lab.guarded_login).encode()).decode()
    config = {"auths": {workspace.lab.guarded_registry: {"auth": login}}}
    Path(workspace.variables["DOCKER_CONFIG"], "config.json").write_text(json.dumps(config))
    return login


@pytest.fixture(scope="module")
def watched(new_workspace: NewWorkspace) -> Watched:
    """The running farm; it ends with the workspace."""
    workspace = new_workspace()
    watched = Watched(workspace)
    ended = threading.Event()
    watcher = threading.Thread(target=watched.look, args=(ended,))
    watcher.start()
    try:
        workspace.write("fine", Dockerfile=FINE)
        workspace.write("bad", Dockerfile=BAD, arches="amd64")
        workspace.done("trust", "init", "fine", "bad")
        log_in(workspace)
        workspace.done("up", "--detach", **watched.variables)
        wait_until(watched.answers)
        assert workspace.farm("push", "fine", "bad").code == 1
        workspace.done("push", "--no-sign", "--org", f"{workspace.lab.guarded_registry}/linuxkit", "fine")
        wait_until(lambda: len(watched.tasks()) >= 5)
    finally:
        ended.set()
        watcher.join()
    return watched


def title(watched: Watched, package: str, rest: str) -> str:
    """The name of a task: without the registry, the hash cut to eight digits."""
    path, _, tag = watched.workspace.reference(package).partition("/")[2].partition(":")
    return f"{path}:{tag[:8]} {rest}"


def test_flower_asks_for_a_login(watched: Watched) -> None:
    assert watched.get("/", login=None).status == HTTPStatus.UNAUTHORIZED
    assert watched.get("/api/tasks", login=None).status == HTTPStatus.UNAUTHORIZED
    assert watched.get("/api/tasks", login=("farm", "guess")).status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("arch", ["amd64", "arm64", "s390x"])
def test_a_task_is_listed_with_package_architecture_queue_worker_and_state(
    watched: Watched, arch: str
) -> None:
    task = watched.ended(title(watched, "fine", arch))
    assert task["routing_key"] == f"build.{arch}"
    assert task["worker"].startswith("builder@")


def test_publishing_is_a_task_on_its_own_queue_and_worker(watched: Watched) -> None:
    task = watched.ended(title(watched, "fine", "index"))
    assert task["routing_key"] == "publish"
    assert task["worker"].startswith("publisher@")


def test_a_failed_build_is_red_and_has_its_reason(watched: Watched) -> None:
    task = watched.ended(title(watched, "bad", "amd64"), "FAILURE")
    assert "failed with status 7" in task["exception"]
    page = watched.page(f"/task/{task['uuid']}")
    assert "label-important" in page or "bg-danger" in page
    assert "failed with status 7" in page


def test_the_lengths_of_all_queues_are_shown(watched: Watched) -> None:
    lengths = {
        queue["name"]: queue["messages"]
        for queue in watched.get("/api/queues/length").json()["active_queues"]
    }
    assert lengths["build.s390x"] == lengths["publish"] == 0
    assert "build.s390x" in watched.page("/broker")


def test_the_pages_of_workers_and_tasks_load(watched: Watched) -> None:
    assert "publisher@" in watched.page("/workers")
    assert watched.get("/tasks").status == HTTPStatus.OK


CHANGES = tuple(
    rule[0]
    for rule in handlers
    if isinstance(rule, tuple) and rule[0].startswith("/api/") and "post" in vars(rule[1])
)
"""All that Flower's API could change: patterns of paths that take a POST."""


def test_flowers_login_alone_changes_nothing_and_its_pages_have_no_buttons_for_it(watched: Watched) -> None:
    name = next(iter(watched.get("/api/workers?refresh=1").json()))
    assert len(CHANGES) >= 13
    for change in CHANGES:
        target = name if "/worker/" in change else "farm.build_and_push"
        url = f"{watched.url}{change.replace('(.+)', target)}?queue=build.amd64&terminate=true&n=1"
        assert send("POST", url, login=("farm", PASSWORD)).status == HTTPStatus.FORBIDDEN, change
    page = watched.page(f"/worker/{name}")
    assert "Max concurrency" in page
    for shown in (page, watched.page(f"/task/{next(iter(watched.get('/api/tasks').json()))}")):
        assert re.findall(r'<(?:button|input)[^>]*id="(?:worker|pool|task)-[^>]*>', shown) == []


def test_workers_refuse_celerys_remote_control_and_stay_as_they_are_reported(watched: Watched) -> None:
    before = watched.workspace.done("workers", "--json").json
    broker = f"redis+socket://{watched.workspace.variables['FARM_STATE_DIR']}/redis.sock"
    control, said = Celery(broker=broker, set_as_current=False).control, []
    for command in ("cancel_consumer", "pool_grow", "shutdown"):
        told = control.broadcast(command, {"queue": "build.amd64"}, reply=True, limit=len(before)) or []
        said += [answer["error"] for one in told for answer in one.values()]
    assert len(said) == len(before) * 3
    assert all("workers of a farm refuse" in text and "farm workers drain" in text for text in said)
    watched.workspace.write("after", Dockerfile=FINE, arches="amd64")
    watched.workspace.done("push", "--no-sign", "after")
    states = [(one["state"], one["slots"]) for one in watched.workspace.done("workers", "--json").json]
    assert states == [(one["state"], one["slots"]) for one in before]


def test_no_secret_is_in_arguments_logs_redis_or_flower(watched: Watched) -> None:
    lab = watched.workspace.lab
    secrets = [lab.signing_passphrase, lab.root_passphrase, PASSWORD, lab.guarded_login[1]]
    secrets += [log_in(watched.workspace), Path(lab.signing_key).read_text().splitlines()[3]]
    places = {"command lines": "\n".join(watched.seen)}
    home = Path(watched.workspace.variables["FARM_STATE_DIR"])
    places |= {str(file): file.read_text(errors="replace") for file in (home / "logs").iterdir()}
    places |= {path: watched.page(path) for path in ("/api/tasks", "/api/workers", "/tasks", "/broker")}
    for task in watched.tasks().values():
        places[task["uuid"]] = watched.page(f"/task/{task['uuid']}")
    with Redis(unix_socket_path=str(home / "redis.sock")) as redis:
        keys = list(redis.scan_iter())
        places |= {repr(key): repr(redis.dump(key)) for key in keys}
    assert len(keys) > 10
    assert any("-m workers" in line for line in watched.seen)
    found = [(place, secret) for place, text in places.items() for secret in secrets if secret in text]
    assert found == []


def test_redis_holds_no_result_of_a_task_that_succeeded(watched: Watched) -> None:
    home = Path(watched.workspace.variables["FARM_STATE_DIR"])
    with Redis(unix_socket_path=str(home / "redis.sock")) as redis:
        results = [json.loads(redis.get(key) or "{}") for key in redis.scan_iter("celery-task-meta-*")]
    # Celery itself stores that of a publication which it does not call, because a build failed.
    assert {result["status"] for result in results} <= {"FAILURE"}


def test_a_second_farm_up_reports_that_the_port_is_in_use(watched: Watched) -> None:
    answer = watched.workspace.farm("up", **watched.variables)
    assert answer.code == 2
    assert "--flower-port" in answer.err


def test_workers_lists_those_that_are_up(watched: Watched) -> None:
    workers = watched.workspace.done("workers", "--json").json
    assert sorted((worker["publisher"], worker["arches"][:1]) for worker in workers) == [
        (False, ["amd64"]),
        (True, []),
    ]
