"""The program docker-buildx: where it is, which it is, and what its builders build."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import EngineUnavailableError, FarmError, InputError
from farm.model import ARCHES
from farm.system import processes
from farm.system.processes import DIE_WITH_PARENT, decoded

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

NAME = "docker-buildx"
OLDEST = (0, 13)
"""The first that tells its progress as JSON."""
AS_PLUGIN = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
"""What `docker` tells its plugins; without it buildx would not speak TLS to an engine that demands it."""
_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(\.\d+)?")
_PLATFORM = re.compile(r"linux/(\w+)")
_HINT = "apt-get install docker-buildx, or docker-buildx-plugin from Docker's own packages"


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed docker-buildx.

    It is run itself, and not by `docker`: whichever client comes first on PATH may be without plugins, and
    a plugin that is a child of a client outlives that client's being killed.
    """

    program: Path
    version: str

    @staticmethod
    def find(docker_config: Path, *, timeout: float) -> Plugin:
        """The one that `docker buildx` would run.

        Raises:
            InputError: there is none, or it is too old.
        """
        places = [docker_config / "cli-plugins" / NAME, *(Path(folder, NAME) for folder in _FOLDERS)]
        found = next((place for place in places if place.is_file()), None) or shutil.which(NAME)
        if found is None:
            raise InputError("the program docker-buildx is not installed", hint=_HINT)
        said = run([str(found), "buildx", "version"], AS_PLUGIN, timeout=timeout).stdout
        version = _VERSION.search(said)
        if version is None or (int(version[1]), int(version[2])) < OLDEST:
            raise InputError(f"{found} is {said.strip() or 'unknown'}; 0.13 or newer is needed", hint=_HINT)
        return Plugin(Path(found), version[0].removeprefix("v"))

    def words(self, *arguments: str) -> list[str]:
        """A command line of it."""
        return [str(self.program), "buildx", *arguments]

    def arches(self, builder: str, environment: Mapping[str, str], *, timeout: float) -> tuple[str, ...]:
        """The architectures that a builder, or the engine of a docker context, builds for.

        Raises:
            InputError: there is none of that name.
            EngineUnavailableError: it does not answer.
        """
        done = run(self.words("inspect", "--bootstrap", builder), environment, timeout=timeout)
        named = _PLATFORM.findall("\n".join(_field(done.stdout, "Platforms")))
        if not named:
            words = [*done.stderr.splitlines(), *_field(done.stdout, "Error"), "it names no platform"]
            why = next(word.removeprefix("ERROR:").strip() for word in words if word.strip())
            kind = InputError if "no builder" in why else EngineUnavailableError
            raise kind(f"the builder {builder} cannot be used: {why}", hint="see `docker buildx ls`")
        return tuple(arch for arch in ARCHES if arch in named)


def _field(text: str, name: str) -> list[str]:
    """The values of a field in what `inspect` prints, one for each node."""
    return [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{name}:")]


def run(
    command: Sequence[str], environment: Mapping[str, str], *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a short command, which may fail.

    Raises:
        FarmError: it cannot be started.
        EngineUnavailableError: it did not end in time; it is dead by then.
    """
    name = f"{Path(command[0]).name} {' '.join(command[1:])}"
    late = EngineUnavailableError(f"`{name}` did not answer within {timeout:.0f} s")
    try:
        words = [*DIE_WITH_PARENT, *command]
        return decoded(processes.run(words, timeout=timeout, late=late, environment=environment))
    except OSError as error:
        raise FarmError(f"{command[0]} cannot be run: {error.strerror}") from error
