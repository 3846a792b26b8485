"""What commands print with --json, compared with docs/schema.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from docs.schema import DEFINITIONS, cases, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator


def schema_of(verb: str, kind: str) -> dict[str, Any]:
    """The schema of a type that a verb prints, by its name; `Failed` is printed by every verb."""
    if kind == "Failed":
        return {"$ref": "#/$defs/Failed"}
    return next(case for case in cases(verb) if type_name(case) == kind)


class SchemaChecker:
    """Validates output strictly: a field that the schema does not know is an error."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        """Fields, as Type.name, that had a value other than null."""
        self._validator = extend(Draft202012Validator, {"properties": self._check_properties})  # type: ignore[no-untyped-call]

    def errors(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Where a value does not match a schema, one line each."""
        validator = self._validator({**schema, "$defs": DEFINITIONS})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def _check_properties(
        self, validator: Any, properties: dict[str, Any], value: Any, schema: dict[str, Any]
    ) -> Iterator[ValidationError]:
        if isinstance(value, dict):
            kind = next(name for name, definition in DEFINITIONS.items() if definition is schema)
            self.seen |= {f"{kind}.{name}" for name in properties if value.get(name) is not None}
            yield from (
                ValidationError(f"{name} is not documented") for name in value.keys() - properties.keys()
            )
        yield from Draft202012Validator.VALIDATORS["properties"](validator, properties, value, schema)
