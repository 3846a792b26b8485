"""A site: the folder that holds compose.yaml, and what is made in it."""

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
# In secrets/, and never given to a container.
_OPERATORS = ("ca.key", "root-passphrase", "administrator", "administrator.crt", "administrator.key", "old")
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
        """One file a secret."""
        return self.directory / "secrets"

    @property
    def maintainer(self) -> Path:
        """What a maintainer's machine is given."""
        return self.directory / "maintainer"

    def variables(self) -> dict[str, str]:
        """What .env says.

        Raises:
            InputError: there is none.
        """
        try:
            return read_variables(self.env.read_text())
        except FileNotFoundError:
            raise InputError(f"{self.env} is not there", hint="run compose/init HOST first") from None

    def settle(self, wanted: Mapping[str, str], *, kept: Mapping[str, str] | None = None) -> dict[str, str]:
        """Write .env with these values, or make sure that the one which is there has them.

        Args:
            wanted: what was asked for.
            kept: what else a new .env says; one that is there may say otherwise.

        Raises:
            InputError: .env is there and says otherwise; nothing was changed.
        """
        if self.env.exists():
            present = self.variables()
            for name, value in wanted.items():
                if present.get(name) != value:
                    told = f"{self.env} says {name}={present.get(name, '')}, not {value}"
                    raise InputError(told, hint="nothing was changed")
            return present
        text = (self.directory / ".env.example").read_text()
        for name, value in {**(kept or {}), **wanted}.items():
            line = re.search(rf"(?m)^{re.escape(name)}=.*$", text)
            if line is None:
                raise InputError(f"{name} is no variable of .env")
            text = f"{text[: line.start()]}{name}={value}{text[line.end() :]}"
        write_once(self.env, text, 0o644)
        return self.variables()

    def hand_over(self, uid: int) -> None:
        """Make what containers are given readable for their user, and the rest for the operator alone."""
        self.secrets.chmod(0o700)
        for path in self.secrets.rglob("*"):
            if path.relative_to(self.secrets).parts[0] in _OPERATORS:
                continue
            path.chmod(0o700 if path.is_dir() else 0o400)
            if os.geteuid() == 0:
                os.chown(path, uid, uid)


def read_variables(text: str) -> dict[str, str]:
    """The variables that a .env of this text sets."""
    return dict(_LINE.findall(text))


def container_uid() -> int:
    """As whom containers run: the operator, so that they read what is the operator's, but never root."""
    return os.geteuid() or _FARM_UID


def group_of(socket: str) -> int:
    """The number of the group that may use an engine's socket; root's where there is no socket yet."""
    try:
        return Path(socket).stat().st_gid
    except OSError:
        return 0


def check_host(host: str) -> str:
    """A name or IPv4 address that certificates can be made for, and that is not this machine's alone.

    Raises:
        InputError: it is none.
    """
    if not _HOST.fullmatch(host):
        raise InputError(f"{host!r} is neither a name nor an IPv4 address")
    if host == "localhost" or host.startswith("127."):
        raise InputError(
            f"{host} is another machine in each container",
            hint="use a name or address that all machines reach",
        )
    return host
