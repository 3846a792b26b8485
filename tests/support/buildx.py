"""Install and use buildx as a docker user does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from lab.debian import buildx
from tests.support.farm_command import answer_of

if TYPE_CHECKING:
    from pathlib import Path

    from lab.lab import Lab

SPDX = (
    '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{}}'
)
GENERATOR = f"""\
FROM BASE
RUN printf '#!/bin/sh\\ncp /spdx.json $BUILDKIT_SCAN_DESTINATION/a.spdx.json\\n' > /scan && chmod +x /scan
RUN echo '{SPDX}' > /spdx.json
ENTRYPOINT ["/scan"]
"""


def install_buildx(docker_config: Path) -> None:
    """Install the lab's buildx where docker looks for plugins first."""
    plugins = docker_config / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    if not (plugins / "docker-buildx").exists():
        (plugins / "docker-buildx").symlink_to(buildx())


def count_calls(docker_config: Path) -> Path:
    """Make an installed buildx write the verb of each call to a file, one a line; returns the file."""
    program = docker_config / "cli-plugins" / "docker-buildx"
    real, calls = program.resolve(), docker_config / "calls"
    program.unlink()
    program.write_text(f'#!/bin/sh\necho "$2" >>"{calls}"\nexec "{real}" "$@"\n')
    program.chmod(0o755)
    return calls


def push_generator(lab: Lab, engine: str, folder: Path) -> str:
    """Push an SBOM generator that finds nothing to the lab's registry; return its name."""
    name = f"{lab.registry}/test/generator:1"
    (folder / "Dockerfile").write_text(GENERATOR.replace("BASE", lab.base))
    install_buildx(folder / "docker")
    buildx = [str(folder / "docker" / "cli-plugins" / "docker-buildx"), "build", "--provenance=false"]
    variables = {"DOCKER_HOST": engine, "DOCKER_CONFIG": str(folder / "docker"), "PATH": "/usr/bin:/bin"}
    answer = answer_of([*buildx, "--push", f"--tag={name}", str(folder)], variables, folder)
    assert answer.code == 0, answer.err
    return name


def make_context(lab: Lab, docker_config: Path, name: str, url: str) -> None:
    """Do what `docker context create` does, for an engine at a URL."""
    words = ["context", "create", name, "--docker", f"host={url}"]
    command = [lab.docker_cli, "--config", str(docker_config), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def of_kind(images: list[dict[str, Any]], *, attestations: bool) -> list[dict[str, Any]]:
    """The attestations among the members of an index, or the others."""
    return [image for image in images if bool(image["attestationOf"]) is attestations]
