"""How Flower is launched: its command line, environment, login and port."""

from __future__ import annotations

import errno
import secrets
import socket
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError, SettingsError
from farm.settings import Secret, child_environment, without_signing_keys
from farm.system.files import make_private, write_once
from farm.system.processes import python

if TYPE_CHECKING:
    from farm.settings import Settings


def flower_command() -> list[str]:
    """The command line of Flower; broker and login, which are secret, are in its environment."""
    return python("-m", "farm.monitor", f"--conf={config_file('flowerconfig.py')}")


def flower_environment(settings: Settings) -> dict[str, str]:
    """Flower's environment: broker, address, port and login, without the secrets for signing."""
    bare = replace(without_signing_keys(settings), flower_password=None)
    login = f"{settings.flower_user}:{flower_password(settings).reveal()}"
    facts = {"FLOWER_ADDRESS": settings.flower_address, "FLOWER_PORT": str(settings.flower_port)}
    return child_environment(bare, facts | {"FLOWER_BASIC_AUTH": login})


def flower_password(settings: Settings) -> Secret:
    """The password that is set, or one that is generated once and kept in the state directory."""
    if settings.flower_password is not None:
        return settings.flower_password
    path = settings.state_dir / "flower.password"
    try:
        make_private(path.parent)
        write_once(path, secrets.token_urlsafe(16))
        password = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written or read: {error.strerror}") from error
    if not password:
        raise SettingsError(f"{path}: contains no password", hint="remove the file to have one generated")
    return Secret(password)


def flower_url(settings: Settings) -> str:
    """The URL of Flower's pages."""
    return f"http://{settings.flower_address}:{settings.flower_port}"


def check_port(settings: Settings) -> None:
    """Make sure that Flower can listen on its address and port.

    Raises:
        InputError: the port is in use, or the address is not one of this machine.
    """
    address, port = settings.flower_address, settings.flower_port
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(found[0][0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                f"flower-address: {address} is not an address of this machine", hint="such as 127.0.0.1"
            ) from error
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise InputError(f"port {port} for Flower {why}", hint="choose another: --flower-port") from error


def config_file(name: str) -> Path:
    """A file of config/: in the source tree if farm runs from it, else where the wheel installed it."""
    source = Path(__file__).resolve().parents[2] / "config" / name
    installed = Path(sys.prefix) / "share" / "linuxkit-farm" / "config" / name
    for path in (source, installed):
        if path.is_file():
            return path
    version = metadata.version("linuxkit-farm")
    raise SettingsError(f"{installed} is missing", hint=f"reinstall linuxkit-farm {version}")
