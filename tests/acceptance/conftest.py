"""Workspaces: packages in git, with an organisation at the lab's registry and a private farm of their own."""

from __future__ import annotations

import itertools
import re
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from lab.machine import ROOT
from tests.support.farm_command import Workspace, wait_until
from tests.support.git_repos import git

if TYPE_CHECKING:
    from lab.lab import Lab

NewWorkspace = Callable[..., Workspace]
_databases = itertools.count(1)


def make_workspace(lab: Lab, home: Path, *, beside: Workspace | None = None) -> Workspace:
    """An empty repository and an organisation, with a private farm of its own or that of `beside`."""
    org = f"{lab.registry}/t{secrets.token_hex(4)}/linuxkit"
    directory = home / "packages"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main")
    git(directory, "commit", "-q", "--allow-empty", "-m", "begin")
    arguments = f"REGISTRY={lab.registry},ORG={org}"
    docker = home / "docker"
    docker.mkdir()
    variables = (
        lab.environment(home / "farm")
        | lab.identity_environment()
        | {
            "FARM_ORG": org,
            "FARM_BUILD_ARGS": arguments,
            "DOCKER_CONFIG": str(docker),
            **{f"GIT_{role}_NAME": "a" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "a@example.org" for role in ("AUTHOR", "COMMITTER")},
            "COLUMNS": "200",
        }
    )
    if beside:
        variables |= {name: beside.variables[name] for name in ("FARM_STATE_DIR", "DOCKER_CONFIG")}
    return Workspace(lab, directory, org, variables)


@pytest.fixture(scope="module")
def new_workspace(lab: Lab) -> Iterator[NewWorkspace]:
    """A function that makes workspaces; their farms are stopped afterwards, all at once."""
    made: list[Workspace] = []
    with ExitStack() as stack:

        def make(*, beside: Workspace | None = None, lab: Lab = lab) -> Workspace:
            # Sockets lie in it, whose paths must be short.
            home = stack.enter_context(TemporaryDirectory(prefix="farm-t"))
            made.append(make_workspace(lab, Path(home), beside=beside))
            return made[-1]

        yield make
        states = {state.directory: state for state in (workspace.state for workspace in made)}
        farms = [state for state in states.values() if state.has_supervisor()]
        for farm in farms:
            # One that nobody uses any more ends by itself.
            farm.signal_supervisor(signal.SIGTERM)
        wait_until(lambda: not any(farm.has_supervisor() for farm in farms))


@pytest.fixture
def workspace(new_workspace: NewWorkspace) -> Workspace:
    """An empty workspace."""
    return new_workspace()


@pytest.fixture(scope="module")
def lasting(new_workspace: NewWorkspace) -> Iterator[Workspace]:
    """A workspace whose private farm stays up for all tests of a module."""
    with new_workspace().held_up() as workspace:
        yield workspace


@pytest.fixture
def own(new_workspace: NewWorkspace, lasting: Workspace) -> Workspace:
    """An empty workspace with an organisation and a cache of its own, that uses this private farm."""
    made = new_workspace(beside=lasting)
    made.variables["FARM_CACHE"] = str(made.directory.parent / "cache")
    return made


@pytest.fixture
def broker(lab: Lab) -> str:
    """The URL of a database of the lab's Redis that no other test uses."""
    return new_database(lab)


@pytest.fixture(scope="module")
def module_broker(lab: Lab) -> str:
    """The same for all tests of a module."""
    return new_database(lab)


def new_database(lab: Lab) -> str:
    """The URL of a database of the lab's Redis that nobody else uses."""
    return f"{lab.redis_url.rpartition('/')[0]}/{next(_databases)}"


def add_examples(workspace: Workspace) -> None:
    """Add the example packages; greeter is built FROM this workspace's hello."""
    for name in ("hello", "motd", "greeter", "common"):
        shutil.copytree(ROOT / "examples" / name, workspace.directory / name)
    dockerfile = workspace.directory / "greeter" / "Dockerfile"
    text = dockerfile.read_text().replace("ARG REGISTRY", "ARG ORG\nARG REGISTRY", 1)
    dockerfile.write_text(re.sub(r"FROM \$\{REGISTRY\}/linuxkit/", "FROM ${ORG}/", text))
    workspace.commit()
