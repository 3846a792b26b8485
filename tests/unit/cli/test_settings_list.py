"""`farm doctor --settings`: the effective settings, as a farm.yml and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farm.cli import main
from farm.settings import FIELDS, SECRET_FILES, Settings, load_settings

GIVEN = """
org: "localhost:5000/it's: mine #1"
arches: [amd64, s390x]
build-args: {GO: "1.20", EMPTY: ""}
mirrors: {"*": https://all, docker.io: https://m}
registry-ca: [/a b.crt]
provenance: max
sbom: true
emulate: yes
lease: 5m
disk-free: 2GiB
signing-passphrase: hush
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "farm.yml").write_text(GIVEN)
    return str(tmp_path / "farm.yml")


def test_the_list_is_a_farm_yml_with_the_same_settings_except_secrets(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main.run(["--config", config, "doctor", "--settings"]) == 0
    text = capsys.readouterr().out
    assert "hush" not in text
    (tmp_path / "pasted.yml").write_text(text)
    shown, given = (load_settings({}, config=Path(path)) for path in (tmp_path / "pasted.yml", config))
    secrets = set(SECRET_FILES.values())

    def open_ones(settings: Settings) -> dict[str, object]:
        return {name: getattr(settings, name) for name in FIELDS if name not in secrets}

    assert open_ones(shown) == open_ones(given)
    assert shown.signing_passphrase is None


def test_json_has_lists_numbers_and_booleans_as_such(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--config", config, "doctor", "--settings", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["arches"] == ["amd64", "s390x"]
    assert found["build-args"] == {"GO": "1.20", "EMPTY": ""}
    assert (found["emulate"], found["lease"], found["disk-free"]) == (True, 300.0, 2 << 30)
    assert (found["registry-ca"], found["signing-passphrase"], found["broker"]) == (["/a b.crt"], "***", None)
