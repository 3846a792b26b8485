"""compose/renew: secrets made anew. Killed at any step, it leaves what compose/init completes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from compose.join import distrust_registry, trust_registry
from compose.make import (
    BROKER_USERS,
    REGISTRY_USERS,
    SERVICES,
    SIGNERS,
    derived,
    holds,
    make_all,
    new_password,
    write_anew,
)

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
    """Make the named secrets anew; returns what was made. Services read them when they are created anew.

    Args:
        site: whose secrets.
        names: of `RENEWABLE`.
        docker_certs: where this machine's Docker Engine looks for registries' CAs.

    Raises:
        InputError: that engine trusts another CA for the registry; nothing was renewed.
    """
    variables = site.variables()
    make_all(site, variables)  # what an earlier one that was killed left undone
    if CA in names:
        distrust_registry(docker_certs, variables, _ca(site))
    # What repeats a secret in another form is made again. It goes first, so that a kill leaves none that is
    # out of date; what says something else by now is the site's own.
    for path, text in derived(site, variables).items():
        if holds(path, text):
            path.unlink()
    for name in names:
        _let_go(site, name)
    made = make_all(site, variables)
    site.hand_over(int(variables["FARM_UID"]))
    return [*made, *(trust_registry(docker_certs, variables, _ca(site)) if CA in names else [])]


def _ca(site: Site) -> str:
    return (site.secrets / "ca.crt").read_text()


def _let_go(site: Site, name: str) -> None:
    if name == CERTIFICATES:
        _remove(site, (*SERVICES, *SIGNERS), "crt")
    elif name == CA:
        # A certificate goes before its key, and the CA last: no kill leaves two that do not fit.
        for names in ((*SERVICES, *SIGNERS), (CA,)):
            _remove(site, names, "crt")
            _remove(site, names, "key")
    elif name == SIGNER:
        _add_passphrase(site.secrets / name)
    elif name == DELEGATION:
        _put_away(site)
    elif name.startswith("registry-"):
        _replace_user(site.secrets / "registry-users", name.removeprefix("registry-"))
    else:
        (site.secrets / name).unlink(missing_ok=True)


def _remove(site: Site, names: Sequence[str], kind: str) -> None:
    for name in names:
        (site.secrets / f"{name}.{kind}").unlink(missing_ok=True)


def _add_passphrase(path: Path) -> None:
    """A new passphrase for new keys; those that encrypt old ones stay."""
    lines = path.read_text().splitlines()
    write_anew({path: "\n".join([*lines, f"farm{len(lines) + 1} {new_password()}"])})


def _replace_user(path: Path, user: str) -> None:
    passwords: Mapping[str, str] = dict(line.split(":", 1) for line in path.read_text().split())
    lines = [f"{name}:{word}" for name, word in {**passwords, user: new_password()}.items()]
    write_anew({path: "\n".join(lines)})


def _put_away(site: Site) -> None:
    """The old signing key is kept: what it signed is still believed until the administrator removes it."""
    old = site.secrets / "old" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    old.mkdir(mode=0o700, parents=True)
    for name in ("delegation.crt", "delegation.pem", "delegation-passphrase"):
        if (site.secrets / name).exists():
            (site.secrets / name).rename(old / name)
