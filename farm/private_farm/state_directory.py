"""Where the private farm of this machine keeps its things, and who uses it just now."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FarmError, SettingsError
from farm.settings import FIELDS, SECRET_FILES, Secret
from farm.system.locks import is_locked, locked, try_lock
from farm.system.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.settings import Settings

_SUBMITTERS = {"org", "arches", "build_args", "cache", "mirrors", "sign", "state_dir"}
_WATCHERS = {"flower_address", "flower_port", "flower_user"}
_ELSEWHERE = {"broker_ca", "emulate", *_SUBMITTERS, *_WATCHERS, *SECRET_FILES.values()}
"""Settings in which the workers of two farms need not differ, and secrets."""
_LONGEST_SOCKET = 100
"""Bytes of a unix socket's path; the kernel allows 107, and redis-server adds a suffix while it starts."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The files of one private farm, all within one directory that only its owner can enter."""

    directory: Path

    @staticmethod
    def at(state_dir: Path) -> StateDirectory:
        """The place within a state directory, made when it is not there.

        Raises:
            SettingsError: the directory cannot be made, or its path is too long for a socket.
        """
        place = StateDirectory(state_dir.absolute())
        if len(os.fsencode(place.socket)) > _LONGEST_SOCKET:
            raise SettingsError(
                f"state-dir: {state_dir} is too long a path for a socket", hint="choose a shorter one"
            )
        try:
            make_private(place.directory)
            place.directory.chmod(0o700)
            place.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise SettingsError(f"state-dir: {state_dir} cannot be used: {error.strerror}") from error
        return place

    @property
    def socket(self) -> Path:
        """The socket of the private Redis."""
        return self.directory / "redis.sock"

    @property
    def broker(self) -> Secret:
        """The URL of the private Redis."""
        return Secret(f"unix://{self.socket}")

    @property
    def logs(self) -> Path:
        """A log file for each process."""
        return self.directory / "logs"

    @property
    def pid(self) -> Path:
        """The supervisor's process number."""
        return self.directory / "supervisor.pid"

    @property
    def wanted(self) -> Path:
        """There when somebody wants workers, not just the state."""
        return self.directory / "workers.wanted"

    @property
    def up(self) -> Path:
        """There once the workers have all said that they are up."""
        return self.directory / "workers.up"

    @property
    def kept(self) -> Path:
        """There when the farm is to stay up although nobody uses it."""
        return self.directory / "kept"

    @property
    def flower(self) -> Path:
        """There when Flower is wanted; holds its port."""
        return self.directory / "flower.wanted"

    @property
    def failure(self) -> Path:
        """Why the workers could not start, as the error's JSON."""
        return self.directory / "failure.json"

    def tell_fingerprint(self, settings: Settings) -> None:
        """Leave word of the settings with which the farm is up."""
        self._fingerprint.write_text(json.dumps(fingerprint(settings)))

    def told_fingerprint(self) -> dict[str, str]:
        """The `fingerprint` of the farm that is up; empty while it has left none."""
        try:
            found: dict[str, str] = json.loads(self._fingerprint.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found

    @property
    def _fingerprint(self) -> Path:
        return self.directory / "supervisor.settings"

    def tell_failure(self, error: FarmError) -> None:
        """Leave an error for those who wait for the farm."""
        self.failure.write_text(json.dumps(error.to_json()))

    def told_failure(self) -> FarmError | None:
        """The error that the supervisor left, if it left one."""
        try:
            return FarmError.from_json(json.loads(self.failure.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    @contextmanager
    def used(self) -> Iterator[None]:
        """Hold the farm up while the body runs; waits while a supervisor is just taking it down."""
        with locked(self.directory / "users.lock", shared=True):
            yield

    def unused(self) -> int | None:
        """Keep new users waiting, if there are no others; returns the descriptor that does so."""
        return try_lock(self.directory / "users.lock")

    def supervise(self) -> int | None:
        """Become the one supervisor; None when there is one."""
        return try_lock(self.directory / "supervisor.lock")

    def managed(self) -> bool:
        """Whether a supervisor has removed what an earlier one left, and written down its process number."""
        try:
            os.kill(int(self.pid.read_text()), 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return False
        return True

    def supervised(self) -> bool:
        """Whether a supervisor runs."""
        return is_locked(self.directory / "supervisor.lock")


def fingerprint(settings: Settings) -> dict[str, str]:
    """What tells farms apart and shows nothing of them: whose broker they serve, how their workers work."""
    how = {name: str(getattr(settings, name)) for name in FIELDS if name not in _ELSEWHERE}
    broker = settings.broker.reveal() if settings.broker else "private"
    return {"broker": _digest(broker), "settings": _digest(json.dumps(how))}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
