"""What `--json` prints, as docs/schema.json describes it in JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "schema.json").read_text())
DEFINITIONS: dict[str, dict[str, Any]] = SCHEMA["$defs"]
STATES: dict[str, list[str]] = {
    name: schema["enum"] for name, schema in DEFINITIONS.items() if "enum" in schema
}
_COMBINED = {"array": "list of ", "object": "mapping from names to "}


def cases(verb: str) -> list[dict[str, Any]]:
    """The schemas of what a verb prints; none where it prints no JSON."""
    schema = SCHEMA["properties"].get(verb)
    return schema.get("anyOf", [schema]) if schema else []


def fields() -> set[str]:
    """Every field, as Type.name."""
    return {
        f"{name}.{field}" for name, schema in DEFINITIONS.items() for field in schema.get("properties", ())
    }


def type_name(schema: Mapping[str, Any]) -> str:
    """The name of a type, `Tag`, or of a list of it, `list of Tag`; in words where it has no name."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(map(type_name, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(map(json.dumps, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema["type"]
    if inner := schema.get("items") or schema.get("additionalProperties"):
        return _COMBINED[kind] + type_name(inner)
    return kind if isinstance(kind, str) else " or ".join(kind)
