"""One stack for all its tests, from a clone to healthy containers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from compose.certificates import make_ca
from lab.directory import own_directory
from lab.engine import add_bridge
from tests.support.git_repos import make_repository
from tests.support.stack import Machine, Stack
from tests.support.stack_images import make_clone

if TYPE_CHECKING:
    from collections.abc import Iterator

# Short, so that a lost job is soon requeued.
_FARM_YML = "lease: 5s\n"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole stack, running and healthy."""
    with ExitStack() as ending:
        home = ending.enter_context(own_directory())
        stack = Stack(home, "first", packages=home / "packages")
        make_clone(stack.clone)
        make_repository(stack.packages)
        (home / "farm.yml").write_text(_FARM_YML)
        add_bridge(home)
        # An operator's engine reads the CA from /etc/docker/certs.d; this one gets it at its start.
        secrets = stack.clone / "compose/secrets"
        secrets.mkdir(mode=0o700)
        make_ca(secrets, stack.host)
        ending.callback(stack.stop_engine)
        stack.start_engine(secrets / "ca.crt")
        stack.init()
        stack.make("up")
        ending.callback(stack.kill_containers)
        yield stack


@pytest.fixture(scope="session")
def second() -> Iterator[Machine]:
    """Another machine, with a clone, before its engine is started."""
    with ExitStack() as ending:
        home = ending.enter_context(own_directory())
        machine = Machine(home, "second")
        make_clone(machine.clone)
        ending.callback(machine.stop_engine)
        ending.callback(machine.kill_containers)
        yield machine
