"""compose/renew: secrets made anew. Killed at any step, it leaves what compose/init completes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from compose.make import BROKER_USERS, REGISTRY_USERS, derived, make_all, new_password

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from compose.site import Site

CERTIFICATES, SIGNER, DELEGATION = "certificates", "notary-signer-passphrases", "delegation"
RENEWABLE = (
    CERTIFICATES,
    *(f"broker-{user}" for user in BROKER_USERS),
    *(f"registry-{user}" for user in REGISTRY_USERS),
    "flower-password",
    SIGNER,
    DELEGATION,
)


def renew(site: Site, names: Sequence[str]) -> list[Path]:
    """Make the named secrets anew; returns what was made. Services read them when they are created anew."""
    variables = site.variables()
    # What repeats a secret in another form is made again, whichever it was.
    repeating = derived(site, variables)
    for name in names:
        _let_go(site, name)
    for path in repeating:
        if path.name != "farm.yml":
            path.unlink(missing_ok=True)
    made = make_all(site, variables)
    site.hand_over(int(variables["FARM_UID"]))
    return made


def _let_go(site: Site, name: str) -> None:
    if name == CERTIFICATES:
        for path in site.secrets.glob("*.crt"):
            if path.stem not in ("ca", "delegation"):
                path.unlink()
    elif name == SIGNER:
        _add_passphrase(site.secrets / name)
    elif name == DELEGATION:
        _put_away(site)
    elif name.startswith("registry-"):
        _replace_user(site.secrets / "registry-users", name.removeprefix("registry-"))
    else:
        (site.secrets / name).unlink(missing_ok=True)


def _add_passphrase(path: Path) -> None:
    """A new passphrase for new keys; those that encrypt old ones stay."""
    lines = path.read_text().splitlines()
    _rewrite(path, [*lines, f"farm{len(lines) + 1} {new_password()}"])


def _replace_user(path: Path, user: str) -> None:
    passwords: Mapping[str, str] = dict(line.split(":", 1) for line in path.read_text().split())
    _rewrite(path, [f"{name}:{word}" for name, word in {**passwords, user: new_password()}.items()])


def _put_away(site: Site) -> None:
    """The old signing key is kept: what it signed is still believed until the administrator removes it."""
    old = site.secrets / "old" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    old.mkdir(mode=0o700, parents=True)
    for name in ("delegation.crt", "delegation.pem", "delegation-passphrase"):
        if (site.secrets / name).exists():
            (site.secrets / name).rename(old / name)


def _rewrite(path: Path, lines: Sequence[str]) -> None:
    new = path.with_name(f".new-{path.name}")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.chmod(0o400)
    new.replace(path)
