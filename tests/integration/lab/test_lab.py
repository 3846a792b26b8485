"""The lab leaves nothing running, listens on loopback only, and is isolated from other labs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import NewConnectionError

from lab.directory import bridge_of, remove
from lab.process import LabError, Service, UnixConnection, descendants, free_port
from tests.support.farm_command import wait_until
from tests.support.http import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.lab import Lab
    from tests.integration.lab.conftest import RunningLab

_PARTS = {"docker-registry", "redis-server", "notary-server", "dockerd", "containerd"}


def _names(processes: set[int]) -> set[str]:
    return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in processes}


def _alive(processes: set[int]) -> list[int]:
    """Those that run; a zombie has no program any more."""
    return [pid for pid in processes if Path(f"/proc/{pid}/exe").exists()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_services_and_leaves_nothing(
    start_lab: Callable[[], RunningLab], number: int
) -> None:
    lab = start_lab()
    started = lab.processes
    lab.process.send_signal(number)
    assert lab.process.wait(30) == 130
    assert _alive(started) == []
    assert not lab.directory.exists()
    assert not Path("/sys/class/net", bridge_of(lab.directory)).exists()


def test_the_services_of_a_killed_lab_end_and_the_next_lab_removes_its_files(
    start_lab: Callable[[], RunningLab],
) -> None:
    lab = start_lab()
    started = lab.processes
    assert _names(started) >= _PARTS
    lab.process.kill()
    wait_until(lambda: not _alive(started), 30)
    start_lab()
    assert not lab.directory.exists()
    assert not Path("/sys/class/net", bridge_of(lab.directory)).exists()


def test_what_a_killed_engine_left_running_in_containers_is_ended(tmp_path: Path) -> None:
    shim = subprocess.Popen(["sh", "-c", "(cd / && exec sleep 600) & wait"], cwd=tmp_path)
    (container,) = wait_until(lambda: list(descendants(shim.pid))[1:])
    wait_until(lambda: Path(f"/proc/{container}/cwd").readlink() == Path("/"))
    remove(tmp_path)
    wait_until(lambda: not _alive({container}))
    assert shim.wait(10) == -signal.SIGKILL


def test_two_labs_at_once_share_nothing(start_lab: Callable[[], RunningLab]) -> None:
    first, second = start_lab(), start_lab()
    shared = {name for name in first.variables if first.variables[name] == second.variables[name]}
    assert shared == {"FARM_CONFIG", "FARM_EMULATE"}
    first.process.terminate()
    first.process.wait(30)
    assert _names(second.processes) >= _PARTS
    with closing(UnixConnection(second.variables["FARM_ENGINE"][7:])) as engine:
        engine.request("GET", "/_ping")
        assert engine.getresponse().read() == b"OK"


def test_a_service_that_dies_ends_the_lab_and_its_last_lines_are_shown(
    start_lab: Callable[[], RunningLab], capfd: pytest.CaptureFixture[str]
) -> None:
    lab = start_lab()
    config = str(lab.directory / "registry" / "config.yml")
    (registry,) = (pid for pid in lab.processes if config in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(registry, signal.SIGKILL)
    assert lab.process.wait(30) == 1
    assert "lab: registry ended" in capfd.readouterr().err


def test_every_port_is_on_loopback(lab: Lab) -> None:
    pids = {service.process.pid for service in lab.services.values() if service.process}
    listed = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in listed.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    addresses = [line[3].rpartition(":")[0] for line in lines]
    assert len(addresses) >= 4
    assert set(addresses) == {"127.0.0.1"}


def test_a_port_for_a_service_is_reserved_and_never_given_to_an_outgoing_connection() -> None:
    port = free_port()
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not first <= port <= last
    with socket.socket(type=socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_a_stopped_service_starts_again_on_its_port_from_any_thread(lab: Lab) -> None:
    registry, url = lab.services["guarded"], f"http://{lab.guarded_registry}/v2/"
    registry.stop()
    with pytest.raises(NewConnectionError):
        send("GET", url)
    thread = threading.Thread(target=registry.start)
    thread.start()
    thread.join()
    # The kernel would end it together with the thread that started it.
    threading.Event().wait(0.2)
    assert not registry.ended
    assert send("GET", url, login=lab.guarded_login).status == 200


def test_the_last_lines_of_a_service_that_does_not_start_are_shown(tmp_path: Path) -> None:
    service = Service("broken", ["sh", "-c", "echo no such luck; exit 1"], tmp_path, lambda: False)
    with pytest.raises(LabError, match="broken ended:\n    no such luck"):
        service.start()
    service.stop()


def test_base_images_exist_for_every_architecture(lab: Lab) -> None:
    name, _, tag = lab.base.removeprefix(f"{lab.registry}/").partition(":")
    accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
    index = send("GET", f"http://{lab.registry}/v2/{name}/manifests/{tag}", headers=accept).json()
    assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64", "s390x"]
