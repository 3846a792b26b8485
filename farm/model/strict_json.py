"""JSON from outside: every other program must read the same in it as the farm does."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

_SHOWN = 60
"""Characters of a wrong value that an error shows."""


def parse_json(text: bytes | str) -> Any:
    """A JSON document in UTF-8.

    Raises:
        ValueError: it is none (RFC 8259), is nested too deeply, or names a key of an object twice: one
            program reads the first of them, another the last.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_object(text: bytes | str, *fields: str) -> dict[str, Any]:
    """A JSON object; see `fields_of`."""
    return fields_of(parse_json(text), *fields)


def fields_of(data: Any, *fields: str) -> dict[str, Any]:
    """The object itself, if it spells these fields in no other way: programs in Go ignore the case of keys.

    Raises:
        ValueError: it is no object, or has another spelling of a field.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{shown(data)} is not an object")  # noqa: TRY004 - reported like any other invalid value
    spelled = {field.casefold(): field for field in fields}
    for key in data:
        if spelled.get(key.casefold(), key) != key:
            raise ValueError(f"the field {shown(key)} must be written {spelled[key.casefold()]}")
    return data


def text_of(value: Any) -> str:
    """A value that must be text."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")  # noqa: TRY004 - as above
    return value


def list_of(value: Any) -> list[Any]:
    """A value that must be a list."""
    if not isinstance(value, list):
        raise ValueError(f"{shown(value)} is not a list")  # noqa: TRY004 - as above
    return value


def texts_of(value: Any) -> dict[str, str]:
    """A value that must be an object of texts, or is absent."""
    return {key: text_of(item) for key, item in fields_of({} if value is None else value).items()}


def shown(value: Any) -> str:
    """A wrong value for an error message: short, and in one line."""
    # Of a nested value only the kind: its repr could be of any length, and recurse.
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {shown(twice)} occurs twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
