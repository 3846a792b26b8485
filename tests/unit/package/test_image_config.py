"""The label org.mobyproject.config is, byte for byte, the one that linuxkit makes of the same `config`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildYmlError
from farm.package.build_yml import read_build_yml

if TYPE_CHECKING:
    from collections.abc import Iterable

ANSWERS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "build-yml.json").read_text(encoding="utf-8")
)


def _label(directory: Path, config: str) -> str | None:
    """The label; "" for none, and None if the config is refused."""
    (directory / "build.yml").write_text(f"image: x\n{config}", encoding="utf-8")
    try:
        return read_build_yml(directory).config or ""
    except BuildYmlError as error:
        if not re.match(rf"{re.escape(str(directory))}/build\.yml:[0-9]+: ", error.message):
            raise
        return None


def _labels(directory: Path, cases: Iterable[tuple[str, str | None]]) -> dict[str, str | None]:
    return {config: _label(directory, config) for config, _ in cases}


def test_every_package_of_linuxkit_has_the_label_that_linuxkit_gives_it(tmp_path: Path) -> None:
    cases = ANSWERS["packages"].values()
    assert _labels(tmp_path, cases) == dict(cases)


def test_any_config_has_linuxkits_label_or_is_refused_with_its_line_where_linuxkit_refuses_it(
    tmp_path: Path,
) -> None:
    cases = ANSWERS["config"]
    assert _labels(tmp_path, cases) == dict(cases)


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ("  devices:\n  - {path: /dev/kmsg, type: c, major: 1, minor: 11, mode: 0666}\n", '"mode":"0666"'),
        ("  sysctl: {kernel.printk: 3}\n", '{"sysctl":{"kernel.printk":"3"}}'),
        ("  net: host\n  capabilities: [all]\n", '{"capabilities":["all"],"net":"host"}'),
        ("  env: ['A=<&>']\n", r'{"env":["A=\u003c\u0026\u003e"]}'),
        ("  resources: {blockio: {weight: 5}}\n", '{"resources":{"blockIO":{"weight":5}}}'),
    ],
)
def test_a_value_has_the_type_and_the_place_that_linuxkit_expects(
    config: str, label: str, tmp_path: Path
) -> None:
    assert label in str(_label(tmp_path, f"config:\n{config}"))
