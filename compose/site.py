"""A site: the directory of compose.yaml, and the files that are made in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.system.files import write_once

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent
_FARM_UID = 10001
# In secrets/, and never mounted into a container.
_OPERATOR_ONLY = (
    "ca.key",
    "root-passphrase",
    "administrator",
    "administrator.crt",
    "administrator.key",
    "old",
)
_LINE = re.compile(r"^([A-Z0-9_]+)=(.*)$", re.MULTILINE)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Site:
    """The files of one machine of a farm."""

    directory: Path = HERE

    @property
    def env(self) -> Path:
        """The variables that compose.yaml reads."""
        return self.directory / ".env"

    @property
    def secrets(self) -> Path:
        """The directory with one file for each secret."""
        return self.directory / "secrets"

    @property
    def maintainer(self) -> Path:
        """The directory with the configuration for maintainers' machines."""
        return self.directory / "maintainer"

    @property
    def policy(self) -> Path:
        """The policy, in a directory of its own, which containers see as it changes."""
        return self.directory / "policy" / "policy.yml"

    def variables(self) -> dict[str, str]:
        """The variables in .env.

        Raises:
            InputError: it does not exist.
        """
        try:
            return read_variables(self.env.read_text("utf-8"))
        except FileNotFoundError:
            raise InputError(f"{self.env} does not exist", hint="run compose/init HOST first") from None

    def ensure_env(
        self, wanted: Mapping[str, str], *, defaults: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Write .env with these values, or check that the existing one has them.

        Args:
            wanted: the values that it must have.
            defaults: further values of a new .env; an existing one may have others.

        Raises:
            InputError: .env exists with other values; nothing was changed.
        """
        if self.env.exists():
            present = self.variables()
            for name, value in wanted.items():
                if present.get(name) != value:
                    found = f"{self.env} has {name}={present.get(name, '')}, not {value}"
                    raise InputError(found, hint="nothing was changed; edit it, or omit the option")
            return present
        text = (self.directory / ".env.example").read_text("utf-8")
        for name, value in {**(defaults or {}), **wanted}.items():
            line = re.search(rf"(?m)^{re.escape(name)}=.*$", text)
            if line is None:
                raise InputError(f"unknown variable {name}", hint="compose/.env.example lists all")
            text = f"{text[: line.start()]}{name}={value}{text[line.end() :]}"
        write_once(self.env, text, 0o644)
        return self.variables()

    def hand_over(self, uid: int) -> None:
        """Make the files for containers readable for their user, and the rest for the operator alone."""
        self.secrets.chmod(0o700)
        for path in self.secrets.rglob("*"):
            if path.relative_to(self.secrets).parts[0] in _OPERATOR_ONLY:
                continue
            path.chmod(0o700 if path.is_dir() else 0o400)
            if os.geteuid() == 0:
                os.chown(path, uid, uid)


def registry_name(variables: Mapping[str, str]) -> str:
    """The registry's name in the names of images."""
    return f"{variables['FARM_HOST']}:{variables['REGISTRY_PORT']}"


def read_variables(text: str) -> dict[str, str]:
    """The variables that the text of a .env sets."""
    return dict(_LINE.findall(text))


def container_uid() -> int:
    """The user of the containers: the operator, so that they can read the secrets, but never root."""
    return os.geteuid() or _FARM_UID


def group_of(socket: str) -> int:
    """The number of the group that may use an engine's socket; root's if there is no socket yet."""
    try:
        return Path(socket).stat().st_gid
    except OSError:
        return 0


def check_host(host: str) -> str:
    """Return the name or IPv4 address if other machines can use it, and certificates can be made for it.

    Raises:
        InputError: it is not such a name or address.
    """
    if not _HOST.fullmatch(host):
        raise InputError(f"invalid host {host!r}: neither a name nor an IPv4 address")
    if host == "localhost" or host.startswith("127."):
        raise InputError(
            f"{host} means the container itself inside a container",
            hint="use a name or address that all machines reach",
        )
    return host
