"""`farm doctor --settings`: the effective settings, as a farm.yml and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farm.cli import main
from farm.settings import FIELDS, FROM_REPOSITORY, Settings, load_settings

GIVEN = """
org: "localhost:5000/it's: mine #1"
arches: [amd64, s390x]
build-args: {GO: "hush", EMPTY: ""}
mirrors: {"*": "https://u:hush@all", docker.io: https://m}
registry-ca: [/a b.crt]
provenance: max
sbom: true
emulate: yes
lease: 5m
disk-free: 2GiB
signing-passphrase: hush
signing-passphrase-command: "print hush"
engine: tcp://hush@h
builders: {linux/arm64: "ssh://hush:hush@h"}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "farm.yml").write_text(GIVEN)
    return str(tmp_path / "farm.yml")


def test_the_list_is_a_farm_yml_with_the_same_settings_except_hidden_ones(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main.run(["--config", config, "doctor", "--settings"]) == 0
    text = capsys.readouterr().out
    assert "hush" not in text
    (tmp_path / "pasted.yml").write_text(text)
    shown, given = (load_settings({}, config=Path(path)) for path in (tmp_path / "pasted.yml", config))
    secrets = {name for name, item in FIELDS.items() if item.metadata["show"]}

    def open_ones(settings: Settings) -> dict[str, object]:
        return {name: getattr(settings, name) for name in FIELDS if name not in secrets}

    assert open_ones(shown) == open_ones(given)
    assert shown.signing_passphrase is None


def test_json_has_lists_numbers_and_booleans_as_such(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--config", config, "doctor", "--settings", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["arches"] == ["amd64", "s390x"]
    assert found["build-args"] == {"GO": "***", "EMPTY": "***"}
    assert found["mirrors"] == {"*": "https://***@all", "docker.io": "https://m"}
    assert (found["emulate"], found["lease"], found["disk-free"]) == (True, 300.0, 2 << 30)
    assert (found["registry-ca"], found["signing-passphrase"], found["broker"]) == (["/a b.crt"], "***", None)


def test_the_list_marks_what_the_file_of_a_repository_may_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor", "--settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if line.endswith(", ./farm.yml too]")]
    assert [line.partition("[")[2] for line in marked] == [
        f"FARM_{name.upper()}, ./farm.yml too]" for name in FROM_REPOSITORY
    ]
