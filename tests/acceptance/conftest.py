"""Workspaces: packages in git, with an organisation at the lab's registry and a private farm of their own."""

from __future__ import annotations

import itertools
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.machine import ROOT
from tests.support.farm_command import Workspace
from tests.support.git_repos import git

if TYPE_CHECKING:
    from lab.lab import Lab

NewWorkspace = Callable[[], Workspace]
_databases = itertools.count(1)


def make_workspace(lab: Lab, home: Path) -> Workspace:
    """An empty repository, and the variables of the lab."""
    org = f"{lab.registry}/t{secrets.token_hex(4)}/linuxkit"
    directory = home / "packages"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main")
    git(directory, "commit", "-q", "--allow-empty", "-m", "begin")
    arguments = f"REGISTRY={lab.registry},ORG={org}"
    docker = home / "docker"
    docker.mkdir()
    variables = lab.environment(home / "farm") | {
        "FARM_ORG": org,
        "FARM_BUILD_ARGS": arguments,
        "DOCKER_CONFIG": str(docker),
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "COLUMNS": "200",
    }
    return Workspace(lab, directory, org, variables)


@pytest.fixture(scope="module")
def homes() -> Iterator[Callable[[], Path]]:
    """Directories with short paths, since sockets lie in them."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="farm-t")))
        return made[-1]

    yield make
    for home in made:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def new_workspace(lab: Lab, homes: Callable[[], Path]) -> Iterator[NewWorkspace]:
    """A function that makes workspaces; their farms are stopped afterwards."""
    made: list[Workspace] = []

    def make() -> Workspace:
        made.append(make_workspace(lab, homes()))
        return made[-1]

    yield make
    for workspace in made:
        if Path(workspace.variables["FARM_STATE_DIR"], "supervisor.pid").exists():
            workspace.done("down")


@pytest.fixture
def workspace(new_workspace: NewWorkspace) -> Workspace:
    """An empty workspace."""
    return new_workspace()


@pytest.fixture
def broker(lab: Lab) -> str:
    """The URL of a database of the lab's Redis that no other test uses."""
    return _database(lab)


@pytest.fixture(scope="module")
def module_broker(lab: Lab) -> str:
    """The same for all tests of a module."""
    return _database(lab)


def _database(lab: Lab) -> str:
    return f"{lab.redis_url.rpartition('/')[0]}/{next(_databases)}"


def add_examples(workspace: Workspace) -> None:
    """Add the example packages; greeter is built FROM this workspace's hello."""
    for name in ("hello", "motd", "greeter", "common"):
        shutil.copytree(ROOT / "examples" / name, workspace.directory / name)
    dockerfile = workspace.directory / "greeter" / "Dockerfile"
    text = dockerfile.read_text().replace("ARG REGISTRY", "ARG ORG\nARG REGISTRY", 1)
    dockerfile.write_text(re.sub(r"FROM \$\{REGISTRY\}/linuxkit/", "FROM ${ORG}/", text))
    workspace.commit()
