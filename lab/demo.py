"""The demo: `farm` builds, publishes and signs the examples, and a user with plain docker runs them."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.model import UNAME
from lab.checkout import EXAMPLES, committed_examples
from lab.debian import cosign
from lab.lab import Lab, running_lab
from lab.machine import ARCHES
from lab.process import LabError
from lab.venv import VENV

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LIMIT = 300.0
"""Seconds that one command may take."""


@dataclass
class Show:
    """Runs commands, prints each with its output, and measures the time of each part."""

    directory: Path
    programs: Mapping[str, str]
    """The program to run for the first word of a command."""
    times: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Print the title of a part of the demo, and measure its time."""
        print(f"\n=== {title}", flush=True)
        begun = time.monotonic()
        yield
        self.times.append((title, time.monotonic() - begun))

    def run(
        self, *words: str, environment: Mapping[str, str], fails: bool = False, shown: bool = True
    ) -> str:
        """Run a command, and print it and, if `shown`, its output; returns the output.

        Raises:
            LabError: it failed, or succeeded where `fails` is set.
        """
        print(f"$ {shlex.join(words)}", flush=True)
        with subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", self.programs.get(words[0], words[0]), *words[1:]],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            printed = _lines(process, shown=shown)
            status = process.wait(_LIMIT)
        if bool(status) is not fails:
            raise LabError(f"`{shlex.join(words)}` ended with status {status}")
        return printed


def _lines(process: subprocess.Popen[str], *, shown: bool) -> str:
    """Return the output of a command, printed line by line as it arrives."""
    lines = []
    for line in process.stdout or ():
        lines.append(line.removesuffix("\n"))
        if shown:
            print(f"  {lines[-1]}", flush=True)
    return "\n".join(lines)


def demo() -> int:
    """Show the farm from the first build to a user's `docker run`; returns the exit code."""
    begun = time.monotonic()
    print("lab: starting registry, notary server, Redis and Docker Engine", flush=True)
    with running_lab() as lab:
        up = time.monotonic() - begun
        print(f"lab: up after {up:.1f} s; registry {lab.registry}, notary server {lab.notary_url}")
        checkout = committed_examples(lab.directory)
        if checkout.copied:
            print(f"lab: {checkout.copied}, so a committed copy in {checkout.directory} is used")
        programs = {"farm": str(VENV / "bin" / "farm"), "docker": lab.docker_cli, "cosign": str(cosign())}
        show = Show(checkout.directory, programs)
        environment = clean_environment() | lab.environment() | cosign_environment(lab.directory / "keys")
        try:
            perform(show, lab, environment)
        finally:
            show.run("farm", "down", environment=environment)
    for title, seconds in [("start the lab", up), *show.times, ("in all", time.monotonic() - begun)]:
        print(f"{seconds:6.1f} s  {title}")
    print("demo: done; everything is stopped", flush=True)
    return 0


def clean_environment() -> dict[str, str]:
    """The environment without this user's settings for farm and docker."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FARM_", "DOCKER_"))}


def cosign_environment(keys: Path) -> dict[str, str]:
    """Variables to sign with cosign too, by a key in this directory."""
    return {
        "FARM_SIGNERS": "cosign,notary",
        "FARM_COSIGN_KEY": str(keys / "cosign.key"),
        "FARM_COSIGN_PASSWORD": secrets.token_urlsafe(16),
    }


def perform(show: Show, lab: Lab, environment: Mapping[str, str]) -> None:
    """Run the parts of the demo."""
    packages = [f"examples/{name}" for name in EXAMPLES]
    with show.part("an administrator prepares the names for signing, once"):
        keys = str(lab.directory / "keys")
        show.run("farm", "trust", "key", "--cosign", keys, environment=environment)
        show.run("farm", "trust", "init", *packages, environment=environment)
    with show.part("what has to be done?"):
        show.run("farm", "plan", *packages, environment=environment)
    with show.part("build for three architectures, publish, sign"):
        show.run("farm", "push", *packages, environment=environment)
    with show.part("push again: nothing is built twice"):
        show.run("farm", "push", *packages, environment=environment)
    with show.part("what is in the registry?"):
        tags = show.run("farm", "show-tag", *packages, environment=environment).split()
        show.run("farm", "inspect", tags[-1], environment=environment)
    with show.part("a docker user pulls and runs signed images only"):
        run_as_user(show, lab, tags[0])
    with show.part("anybody verifies: who built it, and who signed it"):
        show.run("farm", "verify", *tags, environment=environment)
        run_cosign(show, lab, tags[0])


def run_cosign(show: Show, lab: Lab, tag: str) -> None:
    """Verify an index, and what its worker states of an image, with cosign and the public key alone."""
    public = str(lab.directory / "keys" / "cosign.pub")
    environment = {"HOME": str(lab.directory / "user"), "PATH": os.defpath}
    options = ["--key", public, "--insecure-ignore-tlog=true"]
    show.run("cosign", "verify", *options, tag, environment=environment)
    show.run(
        *("cosign", "verify-attestation", "--type", "slsaprovenance1", *options, f"{tag}-amd64"),
        environment=environment,
        shown=False,
    )


def run_as_user(show: Show, lab: Lab, tag: str) -> None:
    """Pull and run an image on every architecture as a docker user with content trust enabled."""
    environment = lab.docker_trust_environment(lab.directory / "user")
    for arch in ARCHES:
        platform = f"--platform=linux/{arch}"
        show.run("docker", "pull", "--quiet", platform, tag, environment=environment)
        printed = show.run("docker", "run", "--rm", platform, tag, environment=environment)
        # An engine keeps one platform of an image; it must be removed before another can be pulled.
        show.run("docker", "image", "rm", tag, environment=environment, shown=False)
        if printed != UNAME[arch]:
            raise LabError(f"{tag} on {arch} printed {printed!r} instead of {UNAME[arch]}")
    show.run("docker", "pull", "--quiet", lab.base, environment=environment, fails=True)
