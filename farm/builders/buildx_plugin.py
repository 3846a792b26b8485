"""The program docker-buildx, its configuration and its environment, and which of its builders is used."""

from __future__ import annotations

import hashlib
import re
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.builders.docker_engine import DEFAULT_URL
from farm.errors import EngineUnavailableError, FarmError, InputError
from farm.model import ARCHES
from farm.settings import buildx_environment
from farm.system import processes
from farm.system.files import temporary_directory
from farm.system.processes import DIE_WITH_PARENT, decoded

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from farm.settings import Settings

DEFAULT_BUILDER = "default"
"""buildx's name for the builder of the engine that DOCKER_HOST names."""
_NAME = "docker-buildx"
_OLDEST = (0, 13)
"""The first with --progress=rawjson."""
_AS_PLUGIN = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
"""What `docker` sets for its plugins; without it buildx does not use TLS for an engine that demands it."""
_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_INSTANCES = "instances"
_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(\.\d+)?")
_PLATFORM = re.compile(r"linux/(\w+)")
_HINT = "apt-get install docker-buildx, or docker-buildx-plugin from Docker's own packages"


def builder_for(settings: Settings, arch: str) -> str:
    """The name of the buildx builder for an architecture."""
    return dict(settings.builders).get(f"linux/{arch}", DEFAULT_BUILDER)


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
        paths = [docker_config / "cli-plugins" / _NAME, *(Path(folder, _NAME) for folder in _FOLDERS)]
        found = next((path for path in paths if path.is_file()), None) or shutil.which(_NAME)
        if found is None:
            raise InputError("the program docker-buildx is not installed", hint=_HINT)
        output = run([str(found), "buildx", "version"], _AS_PLUGIN, timeout=timeout).stdout
        version = _VERSION.search(output)
        if version is None or (int(version[1]), int(version[2])) < _OLDEST:
            raise InputError(
                f"{found} is {output.strip() or 'of unknown version'}; 0.13 or newer is needed", hint=_HINT
            )
        return Plugin(Path(found), version[0].removeprefix("v"))

    def command_line(self, *arguments: str) -> list[str]:
        """The command line with these arguments."""
        return [str(self.program), "buildx", *arguments]

    def arches(self, builder: str, environment: Mapping[str, str], *, timeout: float) -> tuple[str, ...]:
        """The architectures that a builder, or the engine of a docker context, builds for."""
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
    """Run a short command, whose exit status may be any."""
    name = f"{Path(command[0]).name} {' '.join(command[1:])}"
    late = EngineUnavailableError(f"`{name}` did not answer within {timeout:.0f} s")
    words = [*DIE_WITH_PARENT, *command]
    try:
        return decoded(processes.run(words, timeout=timeout, late=late, environment=environment))
    except OSError as error:
        raise FarmError(f"{command[0]} cannot be run: {error.strerror}") from error


@contextmanager
def config_directory(settings: Settings) -> Iterator[Path]:
    """A directory for BUILDX_CONFIG with a copy of docker's list of builders; removed at the end.

    Each run has its own; otherwise buildx writes to docker's configuration.
    """
    parent = settings.state_dir / "buildx"
    with ExitStack() as stack:
        try:
            path = stack.enter_context(temporary_directory(parent, prefix="tmp"))
            builders = settings.docker_config / "buildx" / _INSTANCES
            if builders.is_dir():
                shutil.copytree(builders, path / _INSTANCES)
        except OSError as error:
            raise FarmError(f"cannot create a directory in {parent}: {error.strerror}") from error
        yield path


def client_environment(settings: Settings, builder: str) -> dict[str, str]:
    """The environment for docker's programs: engine, docker's configuration, and variables with secrets."""
    secrets = [source[4:] for _, source in settings.build_secrets if source.startswith("env:")]
    configuration = {"DOCKER_CONFIG": str(settings.docker_config), **_AS_PLUGIN}
    return buildx_environment(secrets) | configuration | _engine(settings, builder)


def _engine(settings: Settings, builder: str) -> dict[str, str]:
    # buildx uses a context as a builder only if it is the current one, and DOCKER_HOST would override that.
    if is_context(settings.docker_config, builder):
        return {"DOCKER_CONTEXT": builder}
    url = settings.engine or DEFAULT_URL
    tls = settings.engine_certs if url.startswith("tcp://") else None
    certs = {"DOCKER_CERT_PATH": str(tls), "DOCKER_TLS_VERIFY": "1"} if tls else {}
    return {"DOCKER_HOST": url, **certs}


def is_context(docker_config: Path, name: str) -> bool:
    """Whether docker has a context of that name."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    return (docker_config / "contexts" / "meta" / folder / "meta.json").is_file()
