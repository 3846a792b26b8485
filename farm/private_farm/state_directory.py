"""The state directory: the files of the private farm on this machine, and the locks of its users."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from farm.errors import FarmError, SettingsError, StateError
from farm.settings import FIELDS, SECRET_FILES, Secret
from farm.system.files import make_private
from farm.system.locks import is_locked

if TYPE_CHECKING:
    from pathlib import Path

    from farm.settings import Settings

_OF_SUBMITTERS = {"org", "arches", "build_args", "cache", "mirrors", "order_key", "sign", "state_dir"}
_OF_FLOWER = {"flower_address", "flower_port", "flower_user"}
_IRRELEVANT = {"broker_ca", "emulate", *_OF_SUBMITTERS, *_OF_FLOWER, *SECRET_FILES.values()}
"""Settings that make no difference to a farm's workers, and secrets, which must not be written to disk."""
_LONGEST_SOCKET = 100
"""Bytes of a unix socket's path: the kernel allows 107, and redis-server adds a suffix while it starts."""


class StateDirectory:
    """The files of one private farm, all in one directory that only its owner can enter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.broker = Secret(f"unix://{self.socket}")
        self.logs = directory / "logs"
        """A log file for each process."""
        self.users_lock = directory / "users.lock"
        """Shared by those who keep the farm up; a supervisor that stops has it alone, and new users wait."""
        self.supervisor_lock = directory / "supervisor.lock"
        """Held by the supervisor, whose process ID it contains."""
        self.workers_wanted = directory / "workers.wanted"
        """Exists when a command needs workers, not only Redis."""
        self.workers_up = directory / "workers.up"
        """Exists when all workers have sent a heartbeat."""
        self.flower_wanted = directory / "flower.wanted"
        """Exists when Flower is to run; holds its port."""
        self.stay_up = directory / "kept"
        """Exists when the farm is to stay up even if nobody uses it."""
        self.failure = directory / "failure.json"
        """Why the workers could not start, as the error's JSON."""
        self._fingerprint = directory / "supervisor.settings"

    @staticmethod
    def at(state_dir: Path) -> StateDirectory:
        """Create the directory if it is missing.

        Raises:
            SettingsError: it cannot be created, or its path is too long for a socket.
        """
        found = StateDirectory(state_dir.absolute())
        if len(os.fsencode(found.socket)) > _LONGEST_SOCKET:
            raise SettingsError(
                f"state-dir: the path {state_dir} is too long for a socket", hint="choose a shorter one"
            )
        try:
            make_private(found.directory)
            found.directory.chmod(0o700)
            found.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"state-dir: {state_dir} cannot be used: {error.strerror}",
                hint="set FARM_STATE_DIR to a directory that you may write to",
            ) from error
        return found

    def write_fingerprint(self, settings: Settings) -> None:
        """Record with which settings the farm is up."""
        self._fingerprint.write_text(json.dumps(fingerprint(settings)))

    def read_fingerprint(self) -> dict[str, str]:
        """The `fingerprint` of the farm that is up; empty before it was written."""
        return _read_json(self._fingerprint)

    def write_failure(self, error: FarmError) -> None:
        """Report an error to the commands that wait for the farm."""
        self.failure.write_text(json.dumps(error.to_json()))

    def read_failure(self) -> FarmError | None:
        """The error that the supervisor reported, if any."""
        failure = _read_json(self.failure)
        return FarmError.from_json(failure) if failure else None

    def supervisor_ready(self) -> bool:
        """Whether a supervisor has removed the files of an earlier one, and written its process ID."""
        return self.signal_supervisor(0)

    def signal_supervisor(self, number: int) -> bool:
        """Send a signal to the supervisor; False if none runs or its process ID is not written yet.

        Raises:
            StateError: it is another user's.
        """
        try:
            os.kill(int(self.supervisor_lock.read_text()), number)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return False
        except PermissionError as error:
            raise StateError(
                f"the private farm in {self.directory} belongs to another user", hint="stop it as that user"
            ) from error
        return True

    def has_supervisor(self) -> bool:
        """Whether a supervisor runs."""
        return is_locked(self.supervisor_lock)


def fingerprint(settings: Settings) -> dict[str, str]:
    """Digests of a farm's broker and of the settings of its workers: they identify it and reveal nothing."""
    relevant = {name: str(getattr(settings, name)) for name in FIELDS if name not in _IRRELEVANT}
    broker = settings.broker.reveal() if settings.broker else "private"
    return {"broker": _digest(broker), "settings": _digest(json.dumps(relevant))}


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if the file is missing or only partly written."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found
