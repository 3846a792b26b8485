"""compose/renew: secrets are replaced. Killed at any step, it leaves a state that compose/init completes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from compose.files import holds, write_changed
from compose.join import distrust_registry, trust_registry
from compose.make import (
    BROKER_USERS,
    REGISTRY_USERS,
    SERVICES,
    SIGNERS,
    derived,
    make_all,
    new_password,
)
from farm.system.files import make_private, put_in_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from compose.site import Site

CA, CERTIFICATES, SIGNER, DELEGATION = "ca", "certificates", "notary-signer-passphrases", "delegation"
RENEWABLE = (
    CA,
    CERTIFICATES,
    *(f"broker-{user}" for user in BROKER_USERS),
    *(f"registry-{user}" for user in REGISTRY_USERS),
    "flower-password",
    SIGNER,
    DELEGATION,
)


def renew(site: Site, names: Sequence[str], *, docker_certs: Path) -> list[Path]:
    """Replace secrets by new ones; returns what was made. A service reads them when it is recreated.

    Args:
        site: the site whose secrets to replace.
        names: some of `RENEWABLE`.
        docker_certs: where this machine's Docker Engine looks for the CAs of registries.

    Raises:
        InputError: that engine trusts another CA for the registry; nothing was renewed.
    """
    variables = site.variables()
    make_all(site, variables)  # completes a renewal that was killed
    if CA in names:
        distrust_registry(docker_certs, variables, _ca(site))
    # Copies of a secret in other forms are removed first, so that a kill leaves no outdated one. A copy that
    # differs was changed by the site, and is kept.
    for path, text in derived(site, variables).items():
        if holds(path, text):
            path.unlink()
    for name in names:
        _remove_secret(site, name)
    made = make_all(site, variables)
    site.hand_over(int(variables["FARM_UID"]))
    return [*made, *(trust_registry(docker_certs, variables, _ca(site)) if CA in names else [])]


def _ca(site: Site) -> str:
    return (site.secrets / "ca.crt").read_text("utf-8")


def _remove_secret(site: Site, name: str) -> None:
    if name == CERTIFICATES:
        _remove(site, (*SERVICES, *SIGNERS), "crt")
    elif name == CA:
        # Certificates before their keys, and the CA last: a kill never leaves two that do not match.
        for names in ((*SERVICES, *SIGNERS), (CA,)):
            _remove(site, names, "crt")
            _remove(site, names, "key")
    elif name == SIGNER:
        _add_passphrase(site.secrets / name)
    elif name == DELEGATION:
        _archive_delegation(site)
    elif name.startswith("registry-"):
        _replace_user(site.secrets / "registry-users", name.removeprefix("registry-"))
    else:
        (site.secrets / name).unlink(missing_ok=True)


def _remove(site: Site, names: Sequence[str], kind: str) -> None:
    for name in names:
        (site.secrets / f"{name}.{kind}").unlink(missing_ok=True)


def _add_passphrase(path: Path) -> None:
    """Add a passphrase for new keys; existing keys keep theirs."""
    lines = path.read_text("utf-8").splitlines()
    write_changed({path: "\n".join([*lines, f"farm{len(lines) + 1} {new_password()}"])})


def _replace_user(path: Path, user: str) -> None:
    passwords: Mapping[str, str] = dict(line.split(":", 1) for line in path.read_text("utf-8").split())
    lines = [f"{name}:{word}" for name, word in {**passwords, user: new_password()}.items()]
    write_changed({path: "\n".join(lines)})


def _archive_delegation(site: Site) -> None:
    """Keep the old signing key: its signatures are valid until the administrator removes it."""
    old = site.secrets / "old" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    make_private(old)
    for name in ("delegation.crt", "delegation.pem", "delegation-passphrase"):
        if (site.secrets / name).exists():
            put_in_place(site.secrets / name, old / name)
