"""A farm for a command that needs one: the broker that is set, or else the private one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import NoWorkerError, StateError, StateUnavailableError
from farm.monitor.flower_launch import check_port
from farm.private_farm.state_directory import StateDirectory, fingerprint
from farm.settings import child_environment
from farm.state.store import Store
from farm.state.workers import served, workers
from farm.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.settings import Settings

START_WAIT = 60.0
"""Seconds that the private farm is given to come up."""
_LEAVING = 3.0
"""Seconds in which a farm with other settings, which nobody needs any more, has begun to take itself down."""


@contextmanager
def attached(settings: Settings, *, builds: bool = False) -> Iterator[tuple[Settings, Store]]:
    """The settings with their broker, and the state behind it, for as long as the body runs.

    Args:
        settings: the command's.
        builds: whether a private farm must be one that builds and signs as these settings say.

    Raises:
        StateUnavailableError: Redis does not answer.
        StateError: a farm with other settings is up here.
    """
    if settings.broker is not None:
        store = Store(settings.broker)
        try:
            store.ping()
            yield settings, store
        finally:
            store.close()
        return
    place = StateDirectory.at(settings.state_dir)
    with _held(place, settings, builds=builds):
        _start(place, settings)
        store = _connect(place)
        try:
            yield replace(settings, broker=place.broker), store
        finally:
            store.close()


@contextmanager
def hosted(settings: Settings) -> Iterator[tuple[Settings, Store]]:
    """Workers, publisher and Flower on this machine for as long as the body runs.

    Raises:
        FarmError: they do not come up; the error says why.
    """
    place = StateDirectory.at(settings.state_dir)
    with _held(place, settings, builds=True):
        check_port(settings)
        _start(place, settings)
        store = Store(settings.broker) if settings.broker else _connect(place)
        _wait_for_supervisor(place)
        try:
            connected = settings if settings.broker else replace(settings, broker=place.broker)
            files.write_once(place.flower, str(settings.flower_port))
            place.wanted.touch()
            _wait_for_workers(place)
            yield connected, store
        finally:
            store.close()


@contextmanager
def _held(place: StateDirectory, settings: Settings, *, builds: bool) -> Iterator[None]:
    """Hold up the farm that is there, or that the body starts; one that is about to end is waited for.

    Raises:
        StateError: it has other settings, and stays.
    """
    deadline = time.monotonic() + _LEAVING
    while True:
        with place.used():
            if _fits(place, settings, builds=builds):
                yield
                return
        if place.kept.exists() or time.monotonic() > deadline:
            raise StateError("a farm with other settings is up here", hint="farm down ends it")
        time.sleep(0.05)


def _fits(place: StateDirectory, settings: Settings, *, builds: bool) -> bool:
    """Whether the farm that is up, if one is, has this broker and, where it `builds`, these settings."""
    if not place.supervised():
        return True
    wanted, there = fingerprint(settings), place.told_fingerprint()
    return there == wanted if builds else there.get("broker") == wanted["broker"]


def _wait_for_supervisor(place: StateDirectory) -> None:
    """Wait until what an earlier supervisor left is gone: the marks that are made now must not go with it."""
    deadline = time.monotonic() + START_WAIT
    while not place.managed():
        if error := place.told_failure():
            raise error
        if time.monotonic() > deadline:
            raise StateError(f"the private farm does not start; its logs are in {place.logs}")
        time.sleep(0.02)


def _wait_for_workers(place: StateDirectory) -> None:
    """Wait until this machine's own workers have said that they are up."""
    deadline = time.monotonic() + START_WAIT
    while not place.up.exists():
        if error := place.told_failure():
            raise error
        if time.monotonic() > deadline:
            raise NoWorkerError("the workers do not come up", hint=f"see their logs in {place.logs}")
        time.sleep(0.05)


def stay_up(settings: Settings) -> None:
    """Keep the private farm up although nobody uses it."""
    StateDirectory.at(settings.state_dir).kept.touch()


def _start(place: StateDirectory, settings: Settings) -> None:
    if _supervised(place):
        return
    place.failure.unlink(missing_ok=True)
    with (place.logs / "supervisor.log").open("ab") as output:
        # A session of its own: Ctrl-C at the command must not reach the farm that carries on its run.
        subprocess.Popen(
            [sys.executable, "-m", "farm.private_farm"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=child_environment(settings),
            start_new_session=True,
        )


def _supervised(place: StateDirectory) -> bool:
    """Whether a farm is up that this command can use: one that has told a failure is on its way down."""
    deadline = time.monotonic() + START_WAIT
    while place.supervised():
        if not place.failure.exists():
            return True
        if time.monotonic() > deadline:
            raise StateError(f"the private farm does not end; its logs are in {place.logs}")
        time.sleep(0.05)
    return False


def _connect(place: StateDirectory) -> Store:
    store = Store(place.broker)
    deadline = time.monotonic() + START_WAIT
    while True:
        try:
            store.ping()
        except StateUnavailableError:
            if error := place.told_failure():
                raise error from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return store


def require_workers(settings: Settings, store: Store, wanted: set[str]) -> None:
    """Make sure that all `wanted` architectures (and "publish") are served, starting the private workers.

    Raises:
        NoWorkerError: some are not; nothing was changed.
    """
    place = StateDirectory.at(settings.state_dir)
    private = settings.broker == place.broker
    if private:
        place.wanted.touch()
    deadline = time.monotonic() + (START_WAIT if private else 0)
    while missing := wanted - (present := _served(place, store, private=private)):
        if time.monotonic() > deadline or (private and {"publish"} < present):
            raise _no_worker(sorted(missing), private=private)
        time.sleep(0.05)


def _served(place: StateDirectory, store: Store, *, private: bool) -> set[str]:
    """What is served now; a private farm that failed says why, before and after its Redis is gone."""
    try:
        present = served(workers(store))
    except StateUnavailableError:
        if private and (error := place.told_failure()):
            raise error from None
        raise
    if private and (error := place.told_failure()):
        raise error
    return present


def _no_worker(missing: list[str], *, private: bool) -> NoWorkerError:
    who = "a publisher" if missing == ["publish"] else f"a worker for {', '.join(missing)}"
    option = "--publish" if missing == ["publish"] else f"--arch {missing[0]}"
    hint = f"start one there: farm worker {option}"
    if private:
        hint = "this engine cannot build it; install qemu-user-static, or use a farm with such a worker"
    return NoWorkerError(f"no {who.removeprefix('a ')} is up", hint=hint)


def take_down(settings: Settings) -> bool:
    """Stop the private farm and wait until it is gone; False where none was up.

    Raises:
        StateError: it did not end in time.
    """
    place = StateDirectory.at(settings.state_dir)
    if not place.supervised():
        return False
    os.kill(int(place.pid.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + START_WAIT
    while place.supervised():
        if time.monotonic() > deadline:
            raise StateError(f"the private farm does not end; its logs are in {place.logs}")
        time.sleep(0.05)
    return True
