"""The time from submitting a run to its signature, on workers that are up; beside an older checkout."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.bare_push import BarePush
from benchmarks.measure import Pairs, Ratio, in_turn, seconds
from lab.checkout import git
from lab.demo import clean_environment
from lab.lab import running_lab
from lab.machine import ARCHES, ROOT
from lab.process import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.lab import Lab

ROUNDS = 12
FARM = str(Path(sys.executable).with_name("farm"))
_PACKAGE = "trivial"
_IDENTITY = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
_LIMIT = 120.0


class _Times(NamedTuple):
    """Seconds of one push."""

    signed: float
    """From the moment that the run is made, before its order is signed, to the record of its signature."""
    built: float
    """To the record of its last image."""
    command: float
    """Of the whole command, from its start to its end."""


@dataclass(frozen=True, slots=True)
class _Farm:
    """A checkout's command, with a repository of one package and a Redis database of its own."""

    checkout: Path
    directory: Path
    environment: Mapping[str, str]

    def run(self, *words: str) -> Any:
        """What a command prints as JSON, which must succeed."""
        done = subprocess.run(
            [self._program, *words],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"`farm {' '.join(words)}` of {self.checkout} failed: {done.stderr.decode()}")
        return json.loads(done.stdout) if "--json" in words else None

    @property
    def _program(self) -> str:
        return str(self.checkout / ".venv" / "bin" / "farm")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A worker for each architecture and a publisher, all up."""
        roles = {arch: ["--arch", arch, "--emulate"] for arch in ARCHES} | {"publish": ["--publish"]}
        with ExitStack() as stack:
            for name, words in roles.items():
                stack.enter_context(self._worker(name, words))
            end = time.monotonic() + _LIMIT
            while len(self.run("workers", "--json")) < len(roles):
                if time.monotonic() > end:
                    raise LabError(
                        f"the workers of {self.checkout} do not start: see {self.directory.parent}"
                    )
            yield

    @contextmanager
    def _worker(self, name: str, words: list[str]) -> Iterator[None]:
        with (
            (self.directory.parent / f"{name}.log").open("wb") as log,
            subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "TERM",
                    "--",
                    self._program,
                    "worker",
                    "--name",
                    f"{name}@bench",
                    *words,
                ],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)

    def push(self) -> _Times:
        """Push a new tag of the package, and wait for its signature."""
        self.commit()
        started = time.monotonic()
        record = self.run("push", "--json", _PACKAGE)
        command = time.monotonic() - started
        (package,) = record["packages"]
        built = max(job["at"] for job in package["jobs"])
        if package["state"] != "signed":
            raise LabError(f"{self.checkout}: the package is {package['state']}")
        return _Times(package["at"] - record["created"], built - record["created"], command)

    def commit(self) -> None:
        """Commit the package with a content that no build has had."""
        folder = self.directory / _PACKAGE
        folder.mkdir(exist_ok=True)
        (folder / "build.yml").write_text(f"image: {_PACKAGE}\n")
        (folder / "Dockerfile").write_text(
            "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\nCOPY new /\n"
        )
        (folder / "new").write_text(secrets.token_hex(16))
        commit_all(self.directory)


def commit_all(directory: Path) -> None:
    """Commit all that a repository has."""
    git(directory, "add", "--all")
    git(directory, *_IDENTITY, "commit", "--quiet", "--message=new")


def rows(against: Path | None, rounds: int = ROUNDS) -> Iterator[Pairs | Ratio]:
    """A package of one COPY for three architectures, in turn by this checkout's farm and the other's.

    Without another one, beside the same by plain docker and notary.
    """
    checkouts = [ROOT, *([against] if against else [])]
    with ExitStack() as stack:
        with redirect_stdout(StringIO()):
            lab = stack.enter_context(running_lab())
        farms = [
            stack.enter_context(_farm(lab, number, checkout))
            for number, checkout in enumerate(checkouts, start=1)
        ]
        for farm in farms:
            # The first build fetches the base image, the first publication opens connections.
            farm.push()
        if not against:
            yield _beside_bare(farms[0], BarePush(lab, lab.directory), rounds)
        times = [_round(farms, number) for number in range(rounds)]
        idle = in_turn(*(partial(farm.run, "push", _PACKAGE) for farm in farms), rounds=rounds)
    for field, what in zip(_Times._fields, ("submit to signed", "submit to built", "farm push"), strict=True):
        here, *there = ([getattr(one, field) for one in column] for column in zip(*times, strict=True))
        yield Pairs(f"{what}, one package for {len(ARCHES)} architectures", here, *there)
    yield Pairs("farm push, nothing to do", *idle)


def _beside_bare(farm: _Farm, bare: BarePush, rounds: int) -> Ratio:
    package, name = farm.directory / _PACKAGE, f"{farm.environment['FARM_ORG']}/{_PACKAGE}"

    def push() -> None:
        bare.push_all(package, f"{name}:{secrets.token_hex(20)}")

    farms, bares = [], []
    for _ in range(rounds):
        farms.append(farm.push().signed)
        farm.commit()
        bares.append(seconds(push, rounds=1))
    what = "packed to signed, one package for 3 architectures"
    return Ratio(what, farms, "three builds and pushes at once, index, signature", bares, 1.0)


def _round(farms: list[_Farm], number: int) -> list[_Times]:
    """The times of a push by each; who is first changes, since it has the engine's cache to itself."""
    order = farms[:: -1 if number % 2 else 1]
    times = {id(farm): farm.push() for farm in order}
    return [times[id(farm)] for farm in farms]


@contextmanager
def _farm(lab: Lab, number: int, checkout: Path) -> Iterator[_Farm]:
    with TemporaryDirectory(prefix="farm-b") as name:
        home = Path(name)
        (home / "packages").mkdir()
        git(home / "packages", "init", "--quiet")
        environment = clean_environment() | lab.environment(home / "farm")
        if (checkout / "farm" / "trust" / "policy.py").exists():
            environment |= lab.identity_environment()
        environment |= {
            "FARM_BROKER": f"{lab.redis_url.rpartition('/')[0]}/{number}",
            "FARM_ORG": f"{lab.registry}/bench{number}",
        }
        farm = _Farm(checkout, home / "packages", environment)
        farm.commit()
        farm.run("trust", "init", _PACKAGE)
        with farm.serving():
            yield farm
