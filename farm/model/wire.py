"""Values as messages and Redis hold them, for processes that may be of another release of the farm.

A field that has its default is left out, so that an older release understands whatever does not use what is
new; a newer one fills it in, so the default of a field never changes. A field that the reader does not know
is an error: without it another image would be built, or another index published.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

from farm.errors import InputError, NotUnderstoodError
from farm.model.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def to_wire(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that do not have their defaults, as JSON."""
    found = ((item, getattr(value, item.name)) for item in fields(value))
    return {item.name: _as_json(field) for item, field in found if field != item.default}


def _as_json(value: Any) -> Any:
    if type(value) is tuple:
        return [_as_json(item) for item in value]
    if isinstance(value, Reference):
        return str(value)
    return value.to_json() if hasattr(value, "to_json") else value


def from_wire(kind: type[T], data: Mapping[str, Any], **readers: Callable[[Any], object]) -> T:
    """The inverse of `to_wire`; readers convert fields that are neither simple nor lists of simple values.

    Raises:
        NotUnderstoodError: a field is unknown, so a newer farm has written it.
        InputError: a necessary field is missing, or one has another type: no release has written it.
    """
    items = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    necessary = {name for name, item in items.items() if item.default is MISSING}
    what = " ".join(re.findall("[A-Z][a-z]+", kind.__name__)).lower()
    if unknown := data.keys() - items:
        raise NotUnderstoodError(
            f"the {what} has fields that this farm does not know: {', '.join(sorted(unknown))}",
            hint="upgrade the farm on this machine",
        )
    if missing := necessary - data.keys():
        raise InputError(
            f"the {what} lacks fields that this farm needs: {', '.join(sorted(missing))}",
            hint="upgrade the farm on the machine that submitted it",
        )
    simple: Callable[[Any], object] = _from_json
    values = {}
    for name, value in data.items():
        try:
            values[name] = readers.get(name, simple)(value)
        except (TypeError, AttributeError, LookupError, ValueError) as error:
            raise InputError(f"the {what} has a field {name} that cannot be read") from error
        if not _SIMPLE.get(str(items[name].type), _anything)(values[name]):
            raise InputError(f"the {what} has a field {name} that is no {items[name].type}")
    made: T = cast("Any", kind)(**values)
    return made


def _texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _pairs(value: object) -> bool:
    return isinstance(value, tuple) and all(_texts(item) and len(item) == _PAIR for item in value)


def _anything(value: object) -> bool:  # noqa: ARG001 - the reader of the field has checked it
    return True


def _places(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(item, tuple) and tuple(map(type, item)) == (str, int, str) for item in value
    )


_PAIR = 2
_SIMPLE: dict[str, Callable[[object], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int,
    "tuple[str, ...]": _texts,
    "tuple[tuple[str, str], ...]": _pairs,
    "tuple[tuple[str, int, str], ...]": _places,
}
"""Checks of fields by the annotation in the source: those for which no reader of their own is needed."""


def _from_json(value: Any) -> Any:
    return tuple(map(_from_json, value)) if isinstance(value, list) else value


def each(read: Callable[[Any], T]) -> Callable[[list[Any]], tuple[T, ...]]:
    """A reader of a list, whose items another one reads."""
    return lambda items: tuple(map(read, items))
