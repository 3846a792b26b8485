"""The files of compose/ agree with one another and with the project."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import yaml

from farm import __version__
from farm.settings import FIELDS, SECRET_FILES
from lab.machine import ROOT


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "farm/__init__.py"
    assert metadata.version("linuxkit-farm") == __version__


def test_every_variable_of_compose_yaml_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "compose" / "compose.yaml").read_text()))
    example = (ROOT / "compose" / ".env.example").read_text()
    explained = set(re.findall(r"^([A-Z0-9_]+)=", example, re.MULTILINE))
    assert used == explained - {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}


def test_the_stack_sets_only_what_the_farm_knows() -> None:
    services = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())["services"]
    names = {name for service in services.values() for name in service.get("environment", {})}
    known = {f"FARM_{name.upper()}" for name in (*FIELDS, *SECRET_FILES)} | {"FARM_CONFIG"}
    assert names <= known


def test_the_images_lock_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.match(r"[A-Za-z0-9-]+", line)[0].lower() for line in project["dependencies"]}  # type: ignore[index]
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "compose" / "requirements.txt").read_text(), re.MULTILINE)
    assert asked <= {*locked}


def test_the_images_can_be_built_from_any_package_index() -> None:
    lines = (ROOT / "compose" / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("-")] == []
