"""The types of what `--json` prints: read from shapes.yml, and held against real output by a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from farm import model
from farm.state import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).parent / "shapes.yml"
ENUMERATIONS: dict[str, tuple[str, ...]] = {
    name: tuple(kind)
    for name, kind in (vars(model) | vars(workers)).items()
    if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
}
_PLAIN: dict[str, type | tuple[type, ...]] = {"string": str, "number": (int, float), "boolean": bool}


@dataclass(frozen=True, slots=True)
class Shape:
    """A type, and what it means."""

    type: str
    about: str = ""

    @staticmethod
    def parse(text: str) -> Shape:
        """Read `type; meaning`."""
        kind, _, about = text.partition("; ")
        return Shape(kind, about)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What each verb prints, and the types that it is made of."""

    verbs: dict[str, tuple[Shape, ...]]
    types: dict[str, dict[str, Shape]]
    seen: set[str] = field(default_factory=set)
    """Fields, as Type.name, that have been seen with a value other than null."""

    @staticmethod
    def load() -> Shapes:
        """Read shapes.yml."""
        data = yaml.safe_load(FILE.read_text())
        cases = {verb: text if isinstance(text, list) else [text] for verb, text in data["verbs"].items()}
        return Shapes(
            {verb: tuple(map(Shape.parse, texts)) for verb, texts in cases.items()},
            {
                name: {key: Shape.parse(text) for key, text in fields.items()}
                for name, fields in data["types"].items()
            },
        )

    def fields(self) -> set[str]:
        """Every field, as Type.name."""
        return {f"{name}.{key.rstrip('?')}" for name, fields in self.types.items() for key in fields}

    def wrong(self, kind: str, value: Any, at: str = "it") -> list[str]:
        """Where a value is not of a type, a line each; none when it is."""
        found = [list(self._wrong_as(one.strip(), value, at)) for one in _split(kind)]
        return min(found, key=len)

    def _wrong_as(self, kind: str, value: Any, at: str) -> Iterator[str]:
        if kind in self.types:
            yield from self._wrong_fields(kind, value, at)
        elif kind[0] == "[":
            if not isinstance(value, list):
                yield f"{at}: {value!r} is no list"
            else:
                for number, item in enumerate(value):
                    yield from self.wrong(kind[1:-1], item, f"{at}[{number}]")
        elif kind[0] == "{":
            if not isinstance(value, dict):
                yield f"{at}: {value!r} is no mapping"
            else:
                for key, item in value.items():
                    yield from self.wrong(kind[1:-1], item, f"{at}.{key}")
        elif not _is_plain(kind, value):
            yield f"{at}: {value!r} is no {kind}"

    def _wrong_fields(self, kind: str, value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no {kind}"
            return
        fields = {key.rstrip("?"): shape for key, shape in self.types[kind].items()}
        needed = {key for key in self.types[kind] if not key.endswith("?")}
        for key in sorted({*value, *needed} - (value.keys() & fields.keys())):
            yield f"{at}.{key}: is {'not documented' if key in value else 'missing'}"
        for key in value.keys() & fields.keys():
            if value[key] is not None:
                self.seen.add(f"{kind}.{key}")
            yield from self.wrong(fields[key].type, value[key], f"{at}.{key}")


def _split(kind: str) -> list[str]:
    """The alternatives of a type; those within brackets belong to what the brackets hold."""
    return [kind] if kind[0] in "[{" and kind[-1] in "]}" else kind.split("|")


def _is_plain(kind: str, value: Any) -> bool:
    if kind == "null":
        return value is None
    if kind[0] == '"':
        return bool(value == kind.strip('"'))
    if kind in ENUMERATIONS:
        return value in ENUMERATIONS[kind]
    return isinstance(value, _PLAIN[kind]) and (kind == "boolean" or not isinstance(value, bool))
