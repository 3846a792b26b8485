"""compose/backup and compose/restore: everything that must not be lost, as a directory of plain files.

Signatures are saved before images, so every image that is signed in a backup is part of it.
"""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from compose.join import trust_registry
from compose.site import read_variables
from farm.errors import FarmError, InputError
from farm.settings import environment
from farm.system.files import put_in_place
from farm.system.processes import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compose.site import Site

_SITE_FILES = (".env", "secrets", "maintainer", "policy")
_PASSPHRASES, _CA = "secrets/notary-signer-passphrases", "secrets/ca.crt"
_LIMIT = 6 * 3600


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a backup, and the commands that read it from a service and write it to an empty one."""

    file: str
    service: str
    read: Sequence[str]
    write: Sequence[str]
    running: bool = False
    """Whether the service must run while its content is written."""


_DUMP = ["pg_dump", "--host=/tmp", "--username=farm", "--format=custom"]
_LOAD = ["pg_restore", "--host=/tmp", "--username=farm", "--clean", "--if-exists", "--single-transaction"]
PARTS = (
    Part(
        "notary-server.dump", "database", [*_DUMP, "notary-server"], [*_LOAD, "--dbname=notary-server"], True
    ),
    Part(
        "notary-signer.dump", "database", [*_DUMP, "notary-signer"], [*_LOAD, "--dbname=notary-signer"], True
    ),
    Part("redis.rdb", "redis", ["redis-operator", "--rdb", "-"], ["redis-load"]),
    Part("registry.tar", "registry", ["registry-save"], ["registry-load"]),
)


def backup(site: Site, directory: Path) -> list[Path]:
    """Copy the site's secrets and policy, and the data of the services that run here, to a new directory.

    Raises:
        InputError: the directory exists, or no service with data runs here.
        FarmError: a service could not be read; no directory is left behind.
    """
    if directory.exists():
        raise InputError(f"{directory} exists", hint="name a new directory")
    running = _compose(site, "ps", "--services", "--status=running").split()
    parts = [part for part in PARTS if part.service in running]
    if not parts:
        raise InputError("no service with data runs here", hint="make up")
    new = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, new, ignore_errors=True)
        for part in parts:
            with (new / part.file).open("wb") as output:
                _compose(site, "exec", "-T", part.service, *part.read, into=output)
        save_site(site, new)
        for file in new.iterdir():
            file.chmod(0o600)
        put_in_place(new, directory)
    return sorted(directory.iterdir())


def save_site(site: Site, directory: Path) -> None:
    """Write site.tar: the site's variables, secrets and policy."""
    with tarfile.open(directory / "site.tar", "w") as tar:
        for name in _SITE_FILES:
            # A site from before there was a policy has none.
            if (site.directory / name).exists():
                tar.add(site.directory / name, name)


def restore(site: Site, directory: Path, *, docker_certs: Path) -> list[Path]:
    """Restore a backup into a stack that is down and has no data; it is down afterwards, too.

    Args:
        site: the site to restore.
        directory: what `backup` made.
        docker_certs: where this machine's Docker Engine looks for the CAs of registries.

    Raises:
        InputError: it is no backup, the stack runs, or this machine has other secrets; nothing was changed.
        FarmError: a service refused its part, for example because it has data.
    """
    same_site = _is_same_site(site, directory)
    _compose(site, "version")
    made = [] if same_site else _unpack_site(site, directory)
    if _compose(site, "ps", "--quiet").strip():
        raise InputError("the stack is running", hint="make down")
    made += trust_registry(docker_certs, site.variables(), (site.directory / _CA).read_text("utf-8"))
    parts = [part for part in PARTS if (directory / part.file).exists()]
    # From the clone as it is now: an existing image may have another version of PostgreSQL.
    _compose(site, "build", *dict.fromkeys(part.service for part in parts))
    for part in parts:
        _fill(site, directory, part)
    _compose(site, "down")
    return made


def _is_same_site(site: Site, directory: Path) -> bool:
    """Whether this machine has the backup's secrets; False if it has none.

    Raises:
        InputError: it has those of another site, which cannot decrypt what is restored; or it is no backup.
    """
    saved = _saved(directory)
    if not any((site.directory / name).exists() for name in _SITE_FILES):
        return False
    here = {name: _text(site.directory / name) for name in saved}
    hosts = [read_variables(texts[".env"]).get("FARM_HOST") for texts in (saved, here)]
    # A passphrase that was added later does no harm.
    decrypts = {*saved[_PASSPHRASES].splitlines()} <= {*here[_PASSPHRASES].splitlines()}
    if not decrypts or saved[_CA] != here[_CA] or hosts[0] != hosts[1]:
        hint = "move compose/.env, secrets, maintainer and policy away, then run this again"
        raise InputError("this machine has other secrets than the backup", hint=hint)
    return True


def _saved(directory: Path) -> dict[str, str]:
    """The files of site.tar that identify a site, by name."""
    try:
        with tarfile.open(directory / "site.tar") as tar:
            files = {name: tar.extractfile(name) or io.BytesIO() for name in (".env", _PASSPHRASES, _CA)}
            return {name: file.read().decode() for name, file in files.items()}
    except (OSError, KeyError, UnicodeDecodeError, tarfile.TarError) as error:
        raise InputError(f"{directory} is not a backup", hint="compose/backup makes one") from error


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _unpack_site(site: Site, directory: Path) -> list[Path]:
    with tarfile.open(directory / "site.tar") as tar:
        tar.extractall(site.directory, filter="tar", numeric_owner=True)
        return [site.directory / name for name in _SITE_FILES if name in tar.getnames()]


def _fill(site: Site, directory: Path, part: Part) -> None:
    if part.running:
        _compose(site, "up", "--detach", "--wait", part.service)
    command = ["exec", "-T"] if part.running else ["run", "--rm", "--no-deps", "-T"]
    with (directory / part.file).open("rb") as file:
        _compose(site, *command, part.service, *part.write, given=file)


def _compose(site: Site, *words: str, given: IO[bytes] | None = None, into: IO[bytes] | None = None) -> str:
    """Run docker compose on the site's stack; returns what it printed."""
    program = shlex.split(environment(["COMPOSE"]).get("COMPOSE") or "docker compose")
    project = ["--project-directory", str(site.directory), "--file", str(site.directory / "compose.yaml")]
    try:
        done = subprocess.run(
            [*program, *project, *words],
            stdin=given or subprocess.DEVNULL,
            stdout=into or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=_LIMIT,
            check=False,
        )
    except OSError as error:
        hint = "install Docker Compose 2.20 or later, or set COMPOSE to its program"
        raise InputError(f"cannot run {program[0]}: {error.strerror}", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise FarmError(f"`docker compose {words[0]}` took longer than {_LIMIT // 3600} h") from error
    if done.returncode:
        raise FarmError(f"`docker compose {words[0]}` failed: {excerpt(done.stderr, 400)}")
    return (done.stdout or b"").decode()
