"""The program docker-buildx: its path and version, and the architectures of its builders."""

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
"""The first with --progress=rawjson."""
AS_PLUGIN = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
"""What `docker` sets for its plugins; without it buildx does not use TLS for an engine that demands it."""
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

    The farm runs it directly, not by `docker`: the client on PATH may not support plugins, and a plugin
    survives when the client that is its parent is killed.
    """

    program: Path
    version: str

    @staticmethod
    def find(docker_config: Path, *, timeout: float) -> Plugin:
        """Find the one that `docker buildx` would run.

        Raises:
            InputError: it is not installed, or too old.
        """
        paths = [docker_config / "cli-plugins" / NAME, *(Path(folder, NAME) for folder in _FOLDERS)]
        found = next((path for path in paths if path.is_file()), None) or shutil.which(NAME)
        if found is None:
            raise InputError("the program docker-buildx is not installed", hint=_HINT)
        output = run([str(found), "buildx", "version"], AS_PLUGIN, timeout=timeout).stdout
        version = _VERSION.search(output)
        if version is None or (int(version[1]), int(version[2])) < OLDEST:
            raise InputError(
                f"{found} is {output.strip() or 'of unknown version'}; 0.13 or newer is needed", hint=_HINT
            )
        return Plugin(Path(found), version[0].removeprefix("v"))

    def command_line(self, *arguments: str) -> list[str]:
        """The command line with these arguments."""
        return [str(self.program), "buildx", *arguments]

    def arches(self, builder: str, environment: Mapping[str, str], *, timeout: float) -> tuple[str, ...]:
        """The architectures that a builder, or the engine of a docker context, builds for.

        Raises:
            InputError: the builder does not exist.
            EngineUnavailableError: the builder does not answer.
        """
        done = run(self.command_line("inspect", "--bootstrap", builder), environment, timeout=timeout)
        named = _PLATFORM.findall("\n".join(_field(done.stdout, "Platforms")))
        if not named:
            reasons = [*done.stderr.splitlines(), *_field(done.stdout, "Error"), "it reports no platform"]
            why = next(line.removeprefix("ERROR:").strip() for line in reasons if line.strip())
            kind = InputError if "no builder" in why else EngineUnavailableError
            raise kind(f"the builder {builder} cannot be used: {why}", hint="see `docker buildx ls`")
        return tuple(arch for arch in ARCHES if arch in named)


def _field(text: str, name: str) -> list[str]:
    """The values of a field in the output of `inspect`, one for each node."""
    return [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{name}:")]


def run(
    command: Sequence[str], environment: Mapping[str, str], *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a short command, whose exit status may be any.

    Raises:
        FarmError: it cannot be started.
        EngineUnavailableError: it did not end in time, and was killed.
    """
    name = f"{Path(command[0]).name} {' '.join(command[1:])}"
    late = EngineUnavailableError(f"`{name}` did not answer within {timeout:.0f} s")
    try:
        words = [*DIE_WITH_PARENT, *command]
        return decoded(processes.run(words, timeout=timeout, late=late, environment=environment))
    except OSError as error:
        raise FarmError(f"{command[0]} cannot be run: {error.strerror}") from error
