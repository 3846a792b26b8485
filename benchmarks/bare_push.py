"""Builds, pushes, an index and a signature as plain docker and notary make them: the peer of a push."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from farm.settings import Secret
from farm.trust.notary.keys import SigningKey, give_key, stage_key
from farm.trust.notary.limits import TrustDeadline
from lab.machine import ARCHES
from lab.process import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lab.lab import Lab

_LIMIT = 600.0
RELEASES = "targets/releases"


class BarePush:
    """A user of docker and notary on a lab, whose notary client has the signing key already."""

    def __init__(self, lab: Lab, home: Path) -> None:
        """Keep the client's keys and signatures in `home`."""
        self._lab, self._trust = lab, home / "trust"
        self._trust.mkdir()
        deadline = TrustDeadline.after(_LIMIT, "copying the key")
        staged = stage_key(SigningKey(lab.signing_key, Secret(lab.signing_passphrase)), self._trust, deadline)
        give_key(staged, self._trust)
        self._passphrase = staged.passphrase

    def build_and_push(self, directory: Path, name: str, arch: str) -> None:
        """Build an image, and push it as NAME-ARCH."""
        tag = f"{name}-{arch}"
        argument = f"REGISTRY={self._lab.registry}"
        where = ["--platform", f"linux/{arch}", "--build-arg", argument, "--tag", tag, str(directory)]
        self._docker("build", "--quiet", *where)
        self._docker("push", "--quiet", tag)

    def push_all(self, directory: Path, name: str) -> None:
        """Build and push for all architectures at the same time, then push and sign the index."""
        with ThreadPoolExecutor(len(ARCHES)) as pool:
            list(pool.map(lambda arch: self.build_and_push(directory, name, arch), ARCHES))
        self._docker("manifest", "create", "--insecure", name, *(f"{name}-{arch}" for arch in ARCHES))
        digest = self._docker("manifest", "push", "--purge", "--insecure", name).strip()
        self._sign(name, digest)

    def remove(self, names: Iterable[str]) -> None:
        """Remove images from the engine."""
        self._docker("rmi", "--force", *(f"{name}-{arch}" for name in names for arch in ARCHES))

    def _sign(self, name: str, digest: str) -> None:
        """https://github.com/notaryproject/notary/blob/v0.7.0/docs/command_reference.md."""
        gun, _, tag = name.rpartition(":")
        size = len(self._run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{gun}@{digest}"))
        server = ["--server", self._lab.notary_url, "--tlscacert", str(self._lab.notary_ca)]
        what = [gun, tag, str(size), "--sha256", digest.removeprefix("sha256:"), "--roles", RELEASES]
        self._run("notary", *server, "--trustDir", str(self._trust), "addhash", "--publish", *what)

    def _docker(self, *words: str) -> str:
        return self._run(self._lab.docker_cli, *words)

    def _run(self, *command: str) -> str:
        variables = os.environ | {
            "DOCKER_HOST": self._lab.engine_url,
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CLI_EXPERIMENTAL": "enabled",
            "DOCKER_CONFIG": str(self._lab.directory / "docker"),
            "NOTARY_DELEGATION_PASSPHRASE": self._passphrase.reveal(),
        }
        done = subprocess.run(
            command, env=variables, check=False, capture_output=True, text=True, timeout=_LIMIT
        )
        if done.returncode:
            raise LabError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout
