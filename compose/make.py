"""compose/init: the secrets of a farm on servers, made once; existing ones are kept."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

from compose.certificates import make_ca, make_certificate
from farm.errors import InputError
from farm.model import ARCHES
from farm.settings import Secret
from farm.system.files import make_private, put_in_place, write_once
from farm.trust.notary.admin_keys import root_keys
from farm.trust.notary.delegation import generate_delegation_key, generate_root_key
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.pins import to_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.site import Site

BROKER_USERS = (
    *("worker", *(f"worker-{arch}" for arch in ARCHES)),
    *("publisher", "maintainer", "flower", "operator"),
)
REGISTRY_USERS = ("worker", "publisher", "maintainer", "administrator", "reader")
_PASSWORDS = ("flower-password", "delegation-passphrase", "root-passphrase")
SERVICES = ("redis", "registry", "notary-gate", "notary-server", "notary-signer", "database")
SIGNERS = ("publisher", "administrator")
"""The clients that may write to the notary server; its gate identifies them by a certificate."""
_FIRST_ALIAS = "farm1"
ENGINE_README = "Put ca.pem, cert.pem and key.pem for engines at tcp:// here."


def make_all(site: Site, variables: Mapping[str, str]) -> list[Path]:
    """Make what is missing; returns what was made, in order."""
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
    made += write_missing(derived(site, variables))
    return [*made, *_delegation(site), *_root(site, registry_name(variables))]


def new_password() -> str:
    """A random password that needs no quoting in a URL."""
    return secrets.token_urlsafe(24)


def write_missing(texts: Mapping[Path, str]) -> list[Path]:
    """Write the files that do not exist; returns them."""
    missing = [path for path in texts if not path.exists()]
    for path in missing:
        make_private(path.parent)
        write_once(path, _content(texts[path]))
    return missing


def write_changed(texts: Mapping[Path, str], mode: int = 0o600) -> list[Path]:
    """Write the files that do not exist or differ; returns them."""
    changed = [path for path in texts if not holds(path, texts[path])]
    for path in changed:
        make_private(path.parent)
        new = path.with_name(f".new-{path.name}")
        new.unlink(missing_ok=True)
        write_once(new, _content(texts[path]), mode)
        put_in_place(new, path)
    return changed


def holds(path: Path, text: str) -> bool:
    """Whether the file exists with this text."""
    return path.exists() and path.read_bytes() == _content(text).encode()


def _content(text: str) -> str:
    return f"{text.rstrip()}\n"


def registry_name(variables: Mapping[str, str]) -> str:
    """The registry's name in the names of images."""
    return f"{variables['FARM_HOST']}:{variables['REGISTRY_PORT']}"


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
    texts[own / "farm.yml"] = _maintainer(variables)
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


def _maintainer(variables: Mapping[str, str]) -> str:
    return f"""\
# Settings of a maintainer's machine: copy this directory there, and add
# `export FARM_CONFIG=DIRECTORY/farm.yml` to the shell's profile. Relative paths start at this directory.
# config/farm.yml explains every setting.
broker-file: broker
broker-ca: ca.crt
registry-certs: certs.d
docker-config: docker
org: {registry_name(variables)}/linuxkit
notary-server: {_notary(variables)}
notary-ca: notary-ca.crt
trust-pins: pins.yml
"""


def _administrator(variables: Mapping[str, str]) -> str:
    return f"""\
# Settings of the administrator who prepares names for signing: farm --config THIS-FILE trust init NAME...
# Root and targets keys are stored in docker/trust beside this file: keep a copy offline.
registry-certs: ../certs.d
docker-config: docker
org: {registry_name(variables)}/linuxkit
notary-server: {_notary(variables)}
notary-ca: notary-ca.crt
trust-pins: ../pins.yml
signing-key: ../delegation.pem
root-passphrase-file: ../root-passphrase
"""
