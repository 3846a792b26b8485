"""Tags are what the real `linuxkit pkg show-tag` made of the same repository, but for two that are better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import FarmError
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from tests.support.git_repos import do
from tests.unit.package.conftest import VECTORS

if TYPE_CHECKING:
    from pathlib import Path

_BETTER = {
    "extra source changed": "linuxkit/extra:4b681f870d44d1086759eaffbc87a03b531c0472-dirty-",
    "depends from file": "linuxkit/depok:",
}
_VALUES = ("org", "hash", "hash-commit", "hash-path", "tag", "build-yml")


def _answer(argv: list[str]) -> str:
    words, directories, options, canonical = iter(argv), [], {"user": "wombat"}, False
    for word in words:
        name = word.removeprefix("--")
        if not word.startswith("--"):
            directories.append(word)
        elif name == "canonical":
            canonical = True
        else:
            options[name.replace("-", "_")] = next(words) if name in _VALUES else True  # type: ignore[assignment]
    packages = read_packages(directories, TagOptions(**options))  # type: ignore[arg-type]
    return "".join(
        f"{package.reference if canonical else package.reference.familiar}\n" for package in packages
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_tags_are_those_of_linuxkit(
    case: dict[str, Any], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(repository, case["do"])
    monkeypatch.chdir(repository / case["cwd"])
    if case["name"] in _BETTER:
        assert _answer(case["argv"]).startswith(_BETTER[case["name"]])
    elif case["expect"]["exit"] == "error":
        with pytest.raises(FarmError):
            _answer(case["argv"])
    else:
        assert _answer(case["argv"]) == case["expect"]["stdout"]
