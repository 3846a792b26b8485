"""compose/init: the secrets of a farm on servers, made once; existing ones are kept."""

from __future__ import annotations

import base64
import json
import platform
import secrets
from typing import TYPE_CHECKING

from compose.certificates import make_ca, make_certificate, make_key
from compose.files import write_missing
from compose.keys import ORDER_KEY, WORKER_KEY, make_cosign_key, make_order_key, public_worker_key
from compose.policy import add_worker, make_policy, signers
from compose.site import registry_name
from farm.errors import InputError
from farm.model import ARCHES, arch_of_uname
from farm.settings import Secret
from farm.system.files import make_private
from farm.trust.notary.admin_keys import root_keys
from farm.trust.notary.delegation import generate_delegation_key, generate_root_key
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.pins import to_text
from farm.trust.policy import WorkerKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.site import Site

BROKER_USERS = (
    *("worker", *(f"worker-{arch}" for arch in ARCHES)),
    *("publisher", "maintainer", "flower", "operator"),
)
REGISTRY_USERS = ("worker", "publisher", "maintainer", "administrator", "reader")
_PASSWORDS = ("flower-password", "delegation-passphrase", "cosign-passphrase", "root-passphrase")
SERVICES = ("redis", "registry", "notary-gate", "notary-server", "notary-signer", "database")
SIGNERS = ("publisher", "administrator")
"""The clients that may write to the notary server; its gate identifies them by a certificate."""
_FIRST_ALIAS = "farm1"
_WORKERS = {"workers": ("amd64", "arm64", "s390x")} | {arch: (arch,) for arch in ("amd64", "arm64", "s390x")}
"""Profile to the architectures that have a worker of their own, and a key."""
ENGINE_README = "Put ca.pem, cert.pem and key.pem for engines at tcp:// here."


def make_all(site: Site, variables: Mapping[str, str], order_key: str = "") -> list[Path]:
    """Make what is missing; returns what was made, in order.

    Args:
        site: where to make it.
        variables: those of its .env.
        order_key: the public SSH key of the first maintainer; "" makes a key pair.
    """
    make_private(site.secrets)
    host = variables["FARM_HOST"]
    made = make_ca(site.secrets, host)
    for service in SERVICES:
        made += make_certificate(site.secrets, service, (host, service, "localhost", "127.0.0.1"))
    for signer in SIGNERS:
        made += make_certificate(site.secrets, signer, (signer,))
    texts = {site.secrets / name: new_password() for name in _PASSWORDS}
    broker = f"{host}:{variables['REDIS_PORT']}/0"
    for user in BROKER_USERS:
        texts[site.secrets / f"broker-{user}"] = f"rediss://{user}:{new_password()}@{broker}"
    texts[site.secrets / "notary-signer-passphrases"] = f"{_FIRST_ALIAS} {new_password()}"
    logins = "\n".join(f"{user}:{new_password()}" for user in REGISTRY_USERS)
    texts[site.secrets / "registry-users"] = logins
    made += write_missing(texts)
    make_private(site.maintainer)
    made += make_order_key(site, host, order_key) + make_cosign_key(site)
    made += _policy(site, variables)
    made += write_missing(derived(site, variables))
    return [*made, *_delegation(site), *_root(site, registry_name(variables))]


def _policy(site: Site, variables: Mapping[str, str]) -> list[Path]:
    """The policy, and the keys of the workers here that it names.

    One that exists gets a worker whose key was just made, and no other: a key that was removed stays so.
    """
    made: list[Path] = []
    keys: dict[str, WorkerKey] = {}
    is_new = not site.policy.exists()
    for name, arch in _own_workers(variables["COMPOSE_PROFILES"]).items():
        made += _same_key(site, name)
        new = make_key(site.secrets / name)
        if new or is_new:
            public = public_worker_key(site.secrets / name)
            keys[public] = WorkerKey(f"{arch}@{variables['MACHINE']}", public, (arch,))
        made += new
    made += make_policy(site, variables, tuple(keys.values()))
    for key in keys.values():
        add_worker(site, key)
    link = site.maintainer / site.policy.name
    if not link.is_symlink():
        # `tar --dereference` copies the policy as it is then.
        link.symlink_to(f"../policy/{link.name}")
        made.append(link)
    return made


def _same_key(site: Site, name: str) -> list[Path]:
    """A machine that changes from the profile worker to workers keeps the key of its architecture."""
    twins = {WORKER_KEY: f"{WORKER_KEY}-{own_arch()}", f"{WORKER_KEY}-{own_arch()}": WORKER_KEY}
    twin = site.secrets / twins.get(name, name)
    return write_missing({site.secrets / name: twin.read_text("utf-8")}) if twin.exists() else []


def _own_workers(profiles: str) -> dict[str, str]:
    """The name of the key of each worker on this machine, and its architecture."""
    chosen = profiles.split(",")
    arches = {arch for profile in chosen for arch in _WORKERS.get(profile, ())}
    own = {WORKER_KEY: own_arch()} if "worker" in chosen else {}
    return own | {f"{WORKER_KEY}-{arch}": arch for arch in sorted(arches)}


def own_arch() -> str:
    """The architecture of this machine."""
    return arch_of_uname(platform.machine())


def new_password() -> str:
    """A random password that needs no quoting in a URL."""
    return secrets.token_urlsafe(24)


def _delegation(site: Site) -> list[Path]:
    files = (site.secrets / "delegation.pem", site.secrets / "delegation.crt")
    made = [path for path in files if not path.exists()]
    passphrase = (site.secrets / "delegation-passphrase").read_text("utf-8").strip()
    generate_delegation_key(site.secrets, Secret(passphrase))
    return made


def _root(site: Site, registry: str) -> list[Path]:
    """The administrator's root key, and the pin of it for everybody who reads signatures."""
    trust_dir = site.secrets / "administrator" / "docker" / "trust"
    roots = root_keys(trust_dir)
    if not roots:
        passphrase = Secret((site.secrets / "root-passphrase").read_text("utf-8").strip())
        roots = (generate_root_key(trust_dir, passphrase, TrustDeadline.after(60.0, "making a root key")),)
    pins = to_text({f"{registry}/*": roots[:1]})
    return write_missing({site.secrets / "pins.yml": pins, site.maintainer / "pins.yml": pins})


def derived(site: Site, variables: Mapping[str, str]) -> dict[Path, str]:
    """Files that repeat secrets in the form that a program reads."""
    registry = registry_name(variables)
    ca = (site.secrets / "ca.crt").read_text("utf-8")
    users = (site.secrets / "registry-users").read_text("utf-8").split()
    logins = {line.partition(":")[0]: docker_config(registry, line) for line in users}
    texts = {site.secrets / f"docker-{user}.json": logins[user] for user in ("worker", "publisher", "reader")}
    texts[site.secrets / "certs.d" / registry / "ca.crt"] = ca
    texts[site.secrets / "engine" / "README"] = ENGINE_README
    notary = f"{variables['FARM_HOST']}:{variables['NOTARY_PORT']}"
    for signer, folder in zip(SIGNERS, ("publisher-tls", "administrator/docker/tls"), strict=True):
        # Where docker looks for its client certificate for a notary server.
        client = site.secrets / folder / notary
        texts[client / "client.cert"] = (site.secrets / f"{signer}.crt").read_text("utf-8")
        texts[client / "client.key"] = (site.secrets / f"{signer}.key").read_text("utf-8")
    texts[site.secrets / "administrator" / "docker" / "config.json"] = logins["administrator"]
    texts[site.secrets / "administrator" / "farm.yml"] = _administrator(variables)
    texts[site.secrets / "administrator" / "notary-ca.crt"] = notary_ca = _notary_ca(site, variables)
    own = site.maintainer
    texts[own / "notary-ca.crt"] = notary_ca
    texts[own / "ca.crt"] = texts[own / "certs.d" / registry / "ca.crt"] = ca
    texts[own / "broker"] = (site.secrets / "broker-maintainer").read_text("utf-8")
    texts[own / "docker" / "config.json"] = logins["maintainer"]
    texts[own / "cosign.pub"] = (site.secrets / "cosign.pub").read_text("utf-8")
    order_key = ORDER_KEY if (own / ORDER_KEY).exists() else f"{ORDER_KEY}.pub"
    texts[own / "farm.yml"] = _maintainer(variables, order_key)
    return texts


def docker_config(registry: str, login: str) -> str:
    """A config.json as `docker login` writes it; `login` is USER:PASSWORD."""
    return json.dumps({"auths": {registry: {"auth": base64.b64encode(login.encode()).decode()}}}, indent=2)


def _notary(variables: Mapping[str, str]) -> str:
    return variables["NOTARY_SERVER"] or f"https://{variables['FARM_HOST']}:{variables['NOTARY_PORT']}"


def _notary_ca(site: Site, variables: Mapping[str, str]) -> str:
    """The CA of the notary server: the file NOTARY_CA, as in compose.yaml, else the stack's own."""
    path = site.directory / (variables.get("NOTARY_CA") or "secrets/ca.crt")
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        hint = f"put it there or correct NOTARY_CA in {site.env}, then run this again"
        raise InputError(f"cannot read {path}, the notary server's CA", hint=hint) from None


def _maintainer(variables: Mapping[str, str], order_key: str) -> str:
    return f"""\
# Settings of a maintainer's machine: copy this directory there, and add
# `export FARM_CONFIG=DIRECTORY/farm.yml` to the shell's profile. Relative paths start at this directory.
# config/farm.yml explains every setting.
broker-file: broker
broker-ca: ca.crt
registry-certs: certs.d
docker-config: docker
org: {registry_name(variables)}/linuxkit
policy: policy.yml
# The SSH key that signs what this machine orders: the policy must name it. A .pub file uses the agent.
order-key: {order_key}
signers: [{", ".join(signers(variables))}]
cosign-public-key: cosign.pub
notary-server: {_notary(variables)}
notary-ca: notary-ca.crt
trust-pins: pins.yml
"""


def _administrator(variables: Mapping[str, str]) -> str:
    return f"""\
# Settings of the administrator who prepares names for signing and keeps the policy:
# farm --config THIS-FILE trust init NAME...; farm --config THIS-FILE policy check
# Root and targets keys are stored in docker/trust beside this file: keep a copy offline.
registry-certs: ../certs.d
docker-config: docker
org: {registry_name(variables)}/linuxkit
notary-server: {_notary(variables)}
notary-ca: notary-ca.crt
trust-pins: ../pins.yml
policy: ../../policy/policy.yml
signing-key: ../delegation.pem
root-passphrase-file: ../root-passphrase
"""
