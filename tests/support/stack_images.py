"""The stack's images, built once for each version of their Dockerfile and kept in the cache.

The cache holds the data directory of the Docker Engine that built them. An engine that starts with a copy
finds every layer, and builds only those of the farm's own code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import docker

from lab.cache import Entry
from lab.debian import base_system, docker_compose, wheelhouse
from lab.directory import own_directory
from lab.engine import add_bridge, address_of, own_engine
from lab.machine import DOCKER, ROOT
from lab.mirror import MIRROR, running_mirror
from tests.support.farm_command import answer_of

if TYPE_CHECKING:
    from pathlib import Path

BASE = "debian-of-the-test:12"
BUILD = {"BASE": BASE, "DEBIAN_MIRROR": MIRROR}
"""The variables of .env on which the layers depend."""
_PROFILES = "core,registry,trust,worker,monitoring,watch"
_LIMIT = 1200
_LAYERS = "overlay2"


def engine_data() -> Path:
    """The data directory of an engine that has built all images."""
    return _entry().filled(_build) / "data"


def _entry() -> Entry:
    """Named by what the layers below the farm's own code are made from."""
    program = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True, timeout=30)
    dockerfile = (ROOT / "compose" / "Dockerfile").read_text()
    return Entry(
        "stack-images",
        (program.stdout, str(base_system()), str(wheelhouse()), *BUILD.values(), _PROFILES, dockerfile),
    )


def copy_engine_data(into: Path) -> None:
    """Copy an engine's data directory; layers never change, and so are linked where that is possible."""
    source = engine_data()
    into.mkdir(parents=True)
    linked = "--link" if source.stat().st_dev == into.stat().st_dev else "--reflink=auto"
    for part in source.iterdir():
        way = linked if part.name == _LAYERS else "--reflink=auto"
        subprocess.run(["cp", "--archive", way, str(part), str(into)], check=True, timeout=_LIMIT)


def make_clone(directory: Path) -> Path:
    """Copy what git has of this checkout, and what is about to be added to it, with a wheelhouse."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True, timeout=60).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    for wheel in wheelhouse().iterdir():
        shutil.copy(wheel, directory / "compose" / "wheelhouse")
    return directory


def _build(new: Path) -> None:
    with ExitStack() as stack:
        home = stack.enter_context(own_directory())
        clone = make_clone(home / "clone")
        add_bridge(home)
        engine = own_engine(home)
        stack.callback(engine.service.stop)
        engine.service.start()
        with closing(docker.DockerClient(base_url=engine.address, timeout=_LIMIT)) as client:
            client.api.import_image_from_file(str(base_system()), *BASE.split(":"))
            proxy = stack.enter_context(running_mirror(address_of(home)))
            _compose_build(clone, engine.address, proxy)
            # What RUN --mount=type=cache keeps is written again by later builds, so that it cannot be linked.
            prune = ["builder", "prune", "--force", "--all", "--filter=type=exec.cachemount"]
            command = [DOCKER, "--host", engine.address, *prune]
            subprocess.run(command, capture_output=True, check=True, timeout=_LIMIT)
        engine.service.stop()
        subprocess.run(["cp", "--archive", str(home / "engine/data"), str(new)], check=True, timeout=_LIMIT)


def _compose_build(clone: Path, engine: str, proxy: str) -> None:
    """Build every image; the proxy's address is no part of a layer's name in the builder's cache."""
    variables = {"FARM_HOST": "none", "COMPOSE_PROFILES": _PROFILES, **BUILD}
    command = [str(docker_compose()), "--file=compose/compose.yaml", "build"]
    command += [f"--build-arg=http_proxy={proxy}"]
    answer = answer_of(command, {**os.environ, "DOCKER_HOST": engine, **variables}, clone, _LIMIT)
    assert answer.code == 0, f"{answer.out[-3000:]}\n{answer.err[-6000:]}"
