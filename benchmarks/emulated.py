"""A private farm from nothing that builds, pushes and signs six packages for three architectures."""

from __future__ import annotations

import secrets
import subprocess
import time
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.bare_push import BarePush
from benchmarks.measure import Ratio, seconds
from benchmarks.signed import FARM, commit_all
from lab.checkout import git
from lab.demo import clean_environment
from lab.lab import running_lab
from lab.machine import ARCHES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.lab import Lab

_PACKAGES = 6
_ROUNDS = 3
_DOCKERFILE = """\
ARG REGISTRY
FROM ${REGISTRY}/library/busybox:1.36
RUN for step in $(seq 40); do echo "NONCE $step" | sha256sum >> /made; done
RUN sort /made > /sorted && uname -m > /machine
"""


def rows() -> Iterator[Ratio]:
    """With two RUN steps each, of which the engine's cache has nothing."""
    farms, bares = [], []
    with redirect_stdout(StringIO()), ExitStack() as stack:
        lab = stack.enter_context(running_lab())
        for number in range(_ROUNDS):
            home = Path(stack.enter_context(TemporaryDirectory(prefix="farm-b")))
            if number % 2:
                farms.append(_farm(lab, home, f"{lab.registry}/bench{number}"))
            bares.append(_bare(lab, home, f"{lab.registry}/bare{number}"))
            if not number % 2:
                farms.append(_farm(lab, home, f"{lab.registry}/bench{number}"))
    what = f"{_PACKAGES} packages for {len(ARCHES)} architectures, emulated, a private farm from nothing"
    yield Ratio(what, farms, "the same builds and pushes, one after another", bares, 0.5, "s")


def _write(home: Path) -> list[Path]:
    """Packages that no engine has built."""
    packages = [home / f"p{number}" for number in range(_PACKAGES)]
    for package in packages:
        package.mkdir(parents=True)
        (package / "build.yml").write_text(f"image: {package.name}\n")
        (package / "Dockerfile").write_text(_DOCKERFILE.replace("NONCE", secrets.token_hex(16)))
    return packages


def _bare(lab: Lab, home: Path, org: str) -> float:
    bare, packages = BarePush(lab, home), _write(home / "bare")

    def push() -> None:
        for package in packages:
            for arch in ARCHES:
                bare.build_and_push(package, f"{org}/{package.name}:1", arch)

    return seconds(push, rounds=1)


def _farm(lab: Lab, home: Path, org: str) -> float:
    top = home / "farm"
    packages = [package.name for package in _write(top)]
    git(top, "init", "--quiet")
    commit_all(top)
    environment = clean_environment() | lab.environment(home / "state") | {"FARM_ORG": org}
    _run(top, environment, "trust", "init", *packages)
    # As after a restart of the machine: what `trust init` has started is gone.
    _run(top, environment, "down")
    started = time.monotonic()
    _run(top, environment, "push", *packages)
    took = time.monotonic() - started
    _run(top, environment, "down")
    return took


def _run(top: Path, environment: Mapping[str, str], *words: str) -> None:
    subprocess.run([FARM, *words], cwd=top, env=environment, check=True, capture_output=True, timeout=900)
