"""Generated pages are up to date, and the other pages name everything that they must."""

from __future__ import annotations

import re
from dataclasses import asdict
from enum import EnumType, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema import Draft202012Validator

from docs.commands import takes_json
from docs.generate import ROOT, duration, pages
from docs.schema import SCHEMA, STATES
from farm.cli.main import VERBS, cli
from farm.model import states
from farm.settings import FIELDS, load_settings
from farm.state import workers

if TYPE_CHECKING:
    import click

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def command(verb: str) -> click.Command:
    found = cli.get_command(None, verb)  # type: ignore[arg-type]  # no verb's loading needs a context
    assert found
    return found


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    """`make docs` writes it."""
    assert path.read_text() == pages()[path]


def test_the_settings_file_uncommented_sets_every_setting_to_its_default(tmp_path: Path) -> None:
    lines = (ROOT / "config" / "farm.yml").read_text().splitlines()
    text = "\n".join(line[2:] for line in lines if re.match(r"# [a-z-]+:( |$)", line))
    assert [key.replace("-", "_") for key in yaml.safe_load(text)] == list(FIELDS)
    config = tmp_path / "farm.yml"
    config.write_text(text)
    home = {"HOME": str(Path.home())}
    made, default = (load_settings({}, config=path, environ=home) for path in (config, None))
    assert asdict(made) == asdict(default)


@pytest.mark.parametrize(
    ("seconds", "text"), [(30, "30s"), (60, "60s"), (90, "90s"), (120, "2m"), (14400, "4h"), (604800, "7d")]
)
def test_a_duration_is_written_in_a_form_that_can_be_read_back(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert load_settings({"keep": text}, config=Path("/dev/null"), environ={}).keep == seconds


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_in_the_json_schema_exactly_if_it_prints_json(verb: str) -> None:
    """tests/acceptance/test_documented.py compares docs/schema.json with real output."""
    found = command(verb)
    parts = {f"{verb} {name}": part for name, part in getattr(found, "commands", {}).items()} | {verb: found}
    documented = {name for name in SCHEMA["properties"] if name.split()[0] == verb}
    assert {name for name, part in parts.items() if takes_json(part)} == documented


def test_the_schema_of_json_output_is_a_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    enums = [kind for kind in (vars(states) | vars(workers)).values() if isinstance(kind, EnumType)]
    found = {kind.__name__: list(kind) for kind in enums if issubclass(kind, StrEnum) and kind is not StrEnum}
    assert found == STATES


@pytest.mark.parametrize("verb", VERBS)
def test_examples_in_the_help_of_a_verb_keep_their_lines(verb: str) -> None:
    r"""In a raw docstring click does not recognise \b, and prints it."""
    assert "\\b" not in (command(verb).help or "")
    assert "\\b" not in (cli.help or "")


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_explained(name: str) -> None:
    missing = [state for state in STATES[name] if f"`{state}`" not in ARCHITECTURE]
    assert missing == []


def test_every_dependency_is_justified() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.partition("dependencies = [")[2].partition("[project.scripts]")[0]
    names = re.findall(r'"([A-Za-z0-9-]+)', block)
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert len(names) > 20
    assert [name for name in names if f"**{name}**" not in page] == []
