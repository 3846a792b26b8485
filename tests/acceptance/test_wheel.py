"""The wheel, installed away from the sources, behaves like the editable install."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from urllib3.exceptions import HTTPError

from farm import __version__
from lab.machine import ROOT
from lab.process import free_port
from tests.support.farm_command import BUSYBOX, FARM, Workspace, wait_until
from tests.support.http import send

if TYPE_CHECKING:
    from tests.acceptance.conftest import NewWorkspace

FINE = f"{BUSYBOX}RUN echo by the wheel; uname -m\n"


@dataclass(frozen=True)
class Installed:
    """A virtual environment in which the sources cannot be found."""

    wheel: Path
    python: Path

    def run(self, *words: str) -> str:
        """Run its Python, which must succeed; returns the output."""
        command = [str(self.python), "-I", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel as `make wheel` builds it, in a new environment with the installed dependencies."""
    home = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "venv", "--without-pip", str(home / "venv"))
    python = home / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(home), str(ROOT))
    (wheel,) = home.glob("*.whl")
    _run(*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    # A path file in a directory that another one names is not read, so the editable install is not found.
    (site,) = (home / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installed(wheel, python)


def _run(*command: str) -> None:
    subprocess.run(command, cwd="/", capture_output=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def editable(new_workspace: NewWorkspace) -> Workspace:
    """A package, and the command that runs from the sources."""
    workspace = new_workspace()
    workspace.write("fine", Dockerfile=FINE, arches="amd64")
    return workspace


@pytest.fixture(scope="module")
def workspace(editable: Workspace, installed: Installed) -> Workspace:
    """The same package, and the command of the wheel."""
    return replace(editable, program=str(installed.python.parent / "farm"))


def test_the_wheel_runs_nothing_from_the_sources(installed: Installed) -> None:
    files = installed.run(
        "-c", "import farm, tasks, workers; print(farm.__file__, tasks.__file__, workers.__file__)"
    )
    assert all(Path(file).is_relative_to(installed.python.parents[1]) for file in files.split())
    version = installed.run("-c", "from importlib.metadata import version; print(version('linuxkit-farm'))")
    assert version.strip() == __version__


def test_the_wheel_holds_every_file_of_the_farm_and_none_of_the_lab_or_the_tests(
    installed: Installed,
) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name and ".data/" not in name}
    sources = {
        str(path.relative_to(ROOT))
        for folder in ("farm", "tasks", "workers")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == sources
    assert any(name.endswith(".lua") for name in names)


def test_every_module_of_the_wheel_can_be_imported(installed: Installed) -> None:
    text = (
        "import importlib, pkgutil, farm, tasks, workers\n"
        "for package in (farm, tasks, workers):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            print(importlib.import_module(module.name).__name__)\n"
    )
    assert "farm.state.store" in installed.run("-c", text)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["push", "--help"],
        ["doctor", "--settings"],
        ["doctor", "--settings", "--json"],
        ["show-tag", "fine"],
        ["show-tag", "--json", "fine"],
        ["plan", "--no-sign", "--json", "fine"],
        ["show-tag", "nowhere"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_the_wheel_prints_what_the_editable_install_prints(
    editable: Workspace, workspace: Workspace, words: list[str]
) -> None:
    assert editable.program == FARM != workspace.program
    assert workspace.farm(*words) == editable.farm(*words)


def test_a_package_is_built_published_signed_and_found_again(workspace: Workspace) -> None:
    workspace.done("trust", "init", "fine")
    run = workspace.done("push", "--json", "fine").json
    assert (run["state"], run["packages"][0]["state"]) == ("done", "signed")
    described = workspace.done("inspect", "--json", workspace.reference("fine")).json
    assert described["signature"] == "signed"
    assert "x86_64" in workspace.done("logs", run["run"], "fine", "amd64").out
    assert "nothing to do" in workspace.done("push", "fine").out


def test_flower_starts_with_the_farms_own_configuration(workspace: Workspace, installed: Installed) -> None:
    found = installed.run(
        "-c", "from farm.monitor.flower_launch import config_file; print(config_file('flowerconfig.py'))"
    )
    assert Path(found.strip()).is_relative_to(installed.python.parents[1])
    assert Path(found.strip()).read_bytes() == (ROOT / "config" / "flowerconfig.py").read_bytes()
    port = free_port()
    flower = workspace.start("flower", "--flower-port", str(port), FARM_FLOWER_PASSWORD="word")

    def status(login: tuple[str, str] | None) -> int:
        try:
            return send("GET", f"http://127.0.0.1:{port}/", login=login).status
        except HTTPError:
            return 0

    try:
        wait_until(lambda: status(("farm", "word")) == HTTPStatus.OK)
        assert status(None) == HTTPStatus.UNAUTHORIZED
    finally:
        flower.terminate()
        flower.communicate(timeout=60)
