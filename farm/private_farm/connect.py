"""Connects a command to a farm: the one whose broker is set, or else the private one."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import NoWorkerError, StateError, StateUnavailableError
from farm.monitor.flower_launch import check_port
from farm.private_farm.own_keys import ensure_own_trust
from farm.private_farm.state_directory import StateDirectory, fingerprint
from farm.settings import child_environment
from farm.state.store import Store
from farm.state.workers import served, workers
from farm.system import files
from farm.system.locks import locked
from farm.system.processes import python
from farm.trust.places import with_own_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.errors import FarmError
    from farm.settings import Settings

START_WAIT = 60.0
"""Seconds that the private farm gets to start, and to stop."""
_STOP_DELAY = 3.0
"""Seconds in which a farm with other settings, which nobody uses any more, has begun to stop."""
_PAUSE = 0.02


@contextmanager
def connect_farm(settings: Settings, *, builds: bool = False) -> Iterator[tuple[Settings, Store]]:
    """The settings with their broker, and the store behind it, while the body runs.

    Args:
        settings: those of the command.
        builds: whether a private farm must build and sign as these settings say.

    Raises:
        StateUnavailableError: Redis does not answer.
        StateError: a private farm with other settings is running.
    """
    if settings.broker is not None:
        with closing(Store(settings.broker)) as store:
            store.ping()
            yield settings, store
        return
    directory = StateDirectory.at(settings.state_dir)
    if builds and settings.policy is None:
        ensure_own_trust(directory)
    settings = with_own_places(settings)
    with _in_use(directory, settings, builds=builds):
        _start(directory, settings)
        with closing(_connect(directory)) as store:
            yield replace(settings, broker=directory.broker), store


@contextmanager
def host_workers(settings: Settings) -> Iterator[tuple[Settings, Store]]:
    """Run workers, a publisher and Flower on this machine while the body runs.

    Raises:
        FarmError: they do not start; the error says why.
    """
    directory = StateDirectory.at(settings.state_dir)
    if settings.broker is None:
        if settings.policy is None:
            ensure_own_trust(directory)
        settings = with_own_places(settings)
    with _in_use(directory, settings, builds=True):
        check_port(settings)
        _start(directory, settings)
        late: FarmError = StateError(f"the private farm does not start; its logs are in {directory.logs}")
        with closing(Store(settings.broker) if settings.broker else _connect(directory)) as store:
            # A new supervisor removes the markers of an earlier one: create them only after that.
            _wait(directory.supervisor_ready, late, starting=directory)
            files.write_once(directory.flower_wanted, str(settings.flower_port))
            directory.workers_wanted.touch()
            late = NoWorkerError("the workers do not start", hint=f"see their logs in {directory.logs}")
            _wait(directory.workers_up.exists, late, starting=directory)
            yield replace(settings, broker=settings.broker or directory.broker), store


@contextmanager
def _in_use(directory: StateDirectory, settings: Settings, *, builds: bool) -> Iterator[None]:
    """Keep up the farm that exists or that the body starts; wait for one with other settings to stop."""
    deadline = time.monotonic() + _STOP_DELAY
    while True:
        with locked(directory.users_lock, shared=True):
            if _matches(directory, settings, builds=builds):
                yield
                return
        if directory.stay_up.exists() or time.monotonic() > deadline:
            raise StateError("a private farm with other settings is running", hint="stop it: farm down")
        time.sleep(_PAUSE)


def _matches(directory: StateDirectory, settings: Settings, *, builds: bool) -> bool:
    """Whether no farm is up, or one with this broker and, if it is to build, with these settings."""
    if not directory.has_supervisor():
        return True
    expected, actual = fingerprint(settings), directory.read_fingerprint()
    return actual == expected if builds else actual.get("broker") == expected["broker"]


def _start(directory: StateDirectory, settings: Settings) -> None:
    # A supervisor that has reported a failure is about to end.
    _wait(lambda: not (directory.has_supervisor() and directory.failure.exists()), _does_not_stop(directory))
    if directory.has_supervisor():
        return
    directory.failure.unlink(missing_ok=True)
    with (directory.logs / "supervisor.log").open("ab") as output:
        # A session of its own: Ctrl-C at the command must not reach the farm, which finishes the run.
        subprocess.Popen(
            python("-m", "farm.private_farm"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=child_environment(settings),
            start_new_session=True,
        )


def _connect(directory: StateDirectory) -> Store:
    store = Store(directory.broker)

    def answers() -> bool:
        try:
            store.ping()
        except StateUnavailableError:
            return False
        return True

    late = StateUnavailableError(f"the private Redis does not answer; its logs are in {directory.logs}")
    _wait(answers, late, starting=directory)
    return store


def _wait(condition: Callable[[], bool], late: FarmError, *, starting: StateDirectory | None = None) -> None:
    """Wait; raise `late` after START_WAIT seconds, or what the supervisor of `starting` reported."""
    deadline = time.monotonic() + START_WAIT
    while not condition():
        if starting and (error := starting.read_failure()):
            raise error
        if time.monotonic() > deadline:
            raise late
        time.sleep(_PAUSE)


def want_workers(settings: Settings) -> bool:
    """Let the workers of a private farm start, without waiting for them; returns whether it is one."""
    directory = StateDirectory.at(settings.state_dir)
    private = settings.broker == directory.broker
    if private:
        directory.workers_wanted.touch()
    return private


def require_workers(settings: Settings, store: Store, wanted: set[str]) -> None:
    """Make sure that all `wanted` architectures (and "publish") are served; start the private workers.

    Raises:
        NoWorkerError: some are not; nothing was changed.
    """
    directory, private = StateDirectory.at(settings.state_dir), want_workers(settings)
    deadline = time.monotonic() + (START_WAIT if private else 0)
    while missing := wanted - (present := _served(directory, store, private=private)):
        if time.monotonic() > deadline or (private and {"publish"} < present):
            raise _no_worker(sorted(missing), private=private)
        time.sleep(_PAUSE)


def _served(directory: StateDirectory, store: Store, *, private: bool) -> set[str]:
    """What is served now; the failure of a private farm takes precedence, also when its Redis is gone."""
    try:
        return served(workers(store))
    finally:
        if private and (error := directory.read_failure()):
            raise error from None


def _no_worker(missing: list[str], *, private: bool) -> NoWorkerError:
    who, option = f"worker for {', '.join(missing)}", f"--arch {missing[0]}"
    if missing == ["publish"]:
        who, option = "publisher", "--publish"
    hint = f"start one there: farm worker {option}"
    if private:
        hint = "this engine cannot build it; install qemu-user-static, or use a farm with such a worker"
    return NoWorkerError(f"no {who} is up", hint=hint)


def take_down(settings: Settings) -> bool:
    """Stop the private farm and wait until it is gone; False if none was up.

    Raises:
        StateError: it did not stop in time.
    """
    directory = StateDirectory.at(settings.state_dir)
    if not directory.has_supervisor():
        return False

    def stopped() -> bool:
        # One that has only just started may not have written its process ID yet.
        directory.signal_supervisor(signal.SIGTERM)
        return not directory.has_supervisor()

    _wait(stopped, _does_not_stop(directory))
    return True


def _does_not_stop(directory: StateDirectory) -> StateError:
    return StateError(f"the private farm does not stop; its logs are in {directory.logs}")
