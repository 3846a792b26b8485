"""compose/bundle and compose/join: what another machine needs to be a worker of the farm."""

from __future__ import annotations

import io
import os
import tarfile
from typing import IO, TYPE_CHECKING

from compose.certificates import make_key
from compose.files import holds, write_changed, write_missing
from compose.keys import WORKER_KEY, public_worker_key
from compose.make import ENGINE_README
from compose.site import container_uid, group_of, registry_name
from farm.errors import InputError
from farm.system.files import make_directory, make_private
from farm.trust.policy import WorkerKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.site import Site

_SECRETS = ("ca.crt", "broker-worker", "docker-worker.json")
# Another machine takes these over from the first; the rest of .env is its own.
_SHARED = (
    "COMPOSE_PROJECT_NAME",
    "FARM_HOST",
    "REDIS_PORT",
    "REGISTRY_PORT",
    "IMAGES",
    "TAG",
    "BASE",
    "DEBIAN_MIRROR",
    "PIP_INDEX_URL",
)
_LARGEST = 1 << 20
_SITE, _POLICY = "site", "policy.yml"


def pack(site: Site, into: IO[bytes], arch: str = "") -> None:
    """Write a tar with what a worker needs, without any key.

    With an architecture, the worker's user of Redis serves that one only.
    """
    variables = site.variables()
    shared = "".join(f"{name}={variables[name]}\n" for name in _SHARED)
    with tarfile.open(fileobj=into, mode="w|") as tar:
        _add(tar, _SITE, shared.encode())
        _add(tar, _POLICY, site.policy.read_bytes())
        for name in _SECRETS:
            source = f"{name}-{arch}" if arch and name == "broker-worker" else name
            _add(tar, name, (site.secrets / source).read_bytes())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    tar.addfile(entry, io.BytesIO(content))


def worker_key(site: Site, arch: str, machine: str) -> tuple[list[Path], WorkerKey]:
    """The key with which this machine's worker attests what it builds, made if it is missing.

    It never leaves the machine: the first one learns its public half, before it makes a bundle.
    """
    make_private(site.secrets)
    made = make_key(site.secrets / WORKER_KEY)
    return made, WorkerKey(f"{arch}@{machine}", public_worker_key(site.secrets / WORKER_KEY), (arch,))


def unpack(
    site: Site, bundle: IO[bytes], own: Mapping[str, str], *, docker_certs: Path, replace: bool
) -> list[Path]:
    """Make this machine a worker; returns what was made. Repeated with the same bundle, it changes nothing.

    Args:
        site: where to unpack.
        bundle: what `pack` wrote.
        own: the variables of .env that describe this machine.
        docker_certs: where its Docker Engine looks for the CAs of registries.
        replace: whether the bundle's secrets replace those of an earlier one.

    Raises:
        InputError: it is not a bundle, this machine has other secrets, or the policy in the bundle does not
            name its worker; nothing was changed.
    """
    files = _read(bundle)
    _require_worker(site, policy := files.pop(_POLICY))
    wanted = dict(line.split("=", 1) for line in files.pop(_SITE).splitlines()) | {
        "COMPOSE_PROFILES": "worker"
    }
    texts = {site.secrets / name: text for name, text in files.items()}
    texts[site.secrets / "certs.d" / registry_name(wanted) / "ca.crt"] = files["ca.crt"]
    others = [
        path
        for path, text in (texts | {site.policy: policy}).items()
        if path.exists() and not holds(path, text)
    ]
    if others and not replace:
        hint = "nothing was changed; --renew replaces it"
        raise InputError(f"{others[0]} differs from the bundle", hint=hint)
    site.ensure_env(wanted, defaults=own)
    if site.secrets / "ca.crt" in others:
        distrust_registry(docker_certs, wanted, (site.secrets / "ca.crt").read_text("utf-8"))
    make_directory(site.policy.parent)
    site.policy.parent.chmod(0o755)
    made = write_changed(texts) + write_changed({site.policy: policy}, 0o644)
    made += write_missing({site.secrets / "engine" / "README": ENGINE_README})
    site.hand_over(int(site.variables()["FARM_UID"]))
    return made + trust_registry(docker_certs, wanted, files["ca.crt"])


def _require_worker(site: Site, policy: str) -> None:
    """Refuse a policy in which this machine's worker does not count: nobody would accept what it builds."""
    path = site.secrets / WORKER_KEY
    if not path.exists():
        raise InputError(
            f"{path} does not exist", hint="run compose/join without a bundle first: it says how to go on"
        )
    if public_worker_key(path) not in policy:
        raise InputError(
            "the policy in the bundle does not name this machine's worker",
            hint="nothing was changed; compose/join without a bundle prints how to make the bundle",
        )


def _read(bundle: IO[bytes]) -> dict[str, str]:
    try:
        with tarfile.open(fileobj=bundle, mode="r|") as tar:
            files = {
                entry.name: (tar.extractfile(entry) or io.BytesIO()).read(_LARGEST).decode()
                for entry in tar
                if entry.isfile() and entry.name in (_SITE, _POLICY, *_SECRETS)
            }
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise InputError(f"not a bundle: {error}", hint="compose/bundle writes one") from error
    if len(files) != len(_SECRETS) + 2:
        raise InputError("the bundle is incomplete", hint="compose/bundle writes one")
    return files


def this_machine(name: str, socket: str) -> dict[str, str]:
    """The variables of .env that describe the machine itself."""
    return {
        "MACHINE": name,
        "FARM_UID": str(container_uid()),
        "DOCKER_SOCKET": socket,
        "DOCKER_GID": str(group_of(socket)),
    }


def trust_registry(docker_certs: Path, variables: Mapping[str, str], ca: str) -> list[Path]:
    """Make this machine's Docker Engine trust the registry's CA; it reads the directory at each use.

    Raises:
        InputError: it trusts another CA for the registry, or this user may not write there.
    """
    path = docker_certs / registry_name(variables) / "ca.crt"
    if path.exists():
        if ca.strip().encode() not in path.read_bytes():
            raise _another_ca(path)
        return []
    if not os.access(next(parent for parent in path.parents if parent.exists()), os.W_OK):
        raise InputError(
            f"cannot write {path}, where this machine's Docker Engine looks for the registry's CA",
            hint="copy compose/secrets/ca.crt there as root, then run this again",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_changed({path: ca}, 0o644)


def distrust_registry(docker_certs: Path, variables: Mapping[str, str], ca: str) -> None:
    """Remove the CA that is about to be replaced, and no other.

    Raises:
        InputError: this machine's Docker Engine trusts another CA for the registry.
    """
    path = docker_certs / registry_name(variables) / "ca.crt"
    if path.exists() and not holds(path, ca):
        raise _another_ca(path)
    path.unlink(missing_ok=True)


def _another_ca(path: Path) -> InputError:
    return InputError(f"{path} is the certificate of another CA", hint="remove it, then run this again")
