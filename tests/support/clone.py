"""The scripts of compose/ in a clone, on a machine without Docker Compose and engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

from compose.backup import save_site
from compose.site import Site
from lab.debian import docker_compose
from lab.machine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOST = "farm.example.org"
PATH = f"{sys.base_prefix}/bin:{os.environ['PATH']}"
"""This Python comes first: the `python3` of a version manager is a script, slower than those of compose/."""


class Clone:
    """A clone whose scripts a test runs."""

    def __init__(self, directory: Path, made: Path | None = None) -> None:
        """Copy the clone `made`, with what its scripts have made, or the scripts of this checkout."""
        self.directory = directory
        if made:
            shutil.copytree(made, directory, symlinks=True)
            return
        own = shutil.ignore_patterns("wheelhouse", "secrets", ".env", "maintainer", "policy")
        shutil.copytree(ROOT / "compose", directory / "compose", ignore=own)
        (directory / "farm").symlink_to(ROOT / "farm")

    @property
    def env(self) -> Path:
        """The variables of the site."""
        return self.directory / "compose" / ".env"

    @property
    def secrets(self) -> Path:
        """The directory with one file for each secret."""
        return self.directory / "compose" / "secrets"

    @property
    def policy(self) -> Path:
        """The policy."""
        return self.directory / "compose" / "policy" / "policy.yml"

    @property
    def trusted(self) -> Path:
        """The CA that the machine's engine trusts for the registry."""
        return self.directory / "certs" / f"{HOST}:5000" / "ca.crt"

    def run(self, script: str, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one of compose/'s scripts, on a machine without Docker Compose."""
        trusting = script in ("init", "join", "renew", "restore")
        own = [f"--docker-certs={self.directory}/certs"] if trusting else []
        command = [str(self.directory / "compose" / script), *words, *own]
        env = os.environ | {"COMPOSE": "/no/docker-compose", "PATH": PATH}
        return subprocess.run(command, input=given, env=env, capture_output=True, check=False, timeout=120)

    def stack(self) -> dict[str, Any]:
        """compose.yaml as docker compose resolves it: services of the profiles, variables of .env."""
        command = [str(docker_compose()), "--project-directory", "compose"]
        done = subprocess.run(
            [*command, "--file", "compose/compose.yaml", "config"],
            cwd=self.directory,
            env={"PATH": os.defpath, "HOME": str(self.directory)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        described: dict[str, Any] = yaml.safe_load(done.stdout)
        return described

    def init(self, *words: str, host: str = HOST) -> subprocess.CompletedProcess[bytes]:
        """Run compose/init, without an engine."""
        return self.run("init", host, f"--socket={self.directory}/none", *words)

    def join(self, bundle: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run compose/join, without an engine."""
        return self.run(
            "join", "-", f"--socket={self.directory}/none", "--machine=second", *words, given=bundle
        )

    def bundle_for(self, other: Clone, *words: str) -> bytes:
        """The bundle for another machine, made as that machine's compose/join says."""
        said = other.run("join", "--machine=second", *words)
        assert said.returncode == 0, said.stderr
        printed = said.stdout.decode().partition("sudo compose/bundle ")[2].partition(" > worker.tar")[0]
        made = self.run("bundle", *printed.split())
        assert made.returncode == 0, made.stderr
        return made.stdout

    def save(self, folder: Path) -> Path:
        """Write the site's own part of a backup to a directory."""
        folder.mkdir()
        save_site(Site(self.directory / "compose"), folder)
        return folder

    def made(self) -> dict[str, bytes]:
        """All files that the scripts make, by path."""
        places = [self.directory / "compose" / name for name in (".env", "secrets", "maintainer", "policy")]
        files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
        return {str(file.relative_to(self.directory)): file.read_bytes() for file in files if file.is_file()}

    def changed(self, before: dict[str, bytes]) -> set[str]:
        """The paths of what was made, or made anew, after `made` returned `before`."""
        return {path for path, content in self.made().items() if before.get(path) != content}
