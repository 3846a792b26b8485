"""YAML read one field at a time, so that every error names file, line and field.

A value means what it means to linuxkit's parser, into a field of the same type: yaml_scalars.py.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from farm.errors import BuildYmlError
from farm.syntax.yaml_scalars import PLAIN, Scalar, resolve

if TYPE_CHECKING:
    from collections.abc import Collection

_TRUE = ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "off", "Off", "OFF")
_DEEPEST = 100
"""How many lists and mappings may be within one another."""
_MOST_VALUES, _LONGEST = 100_000, 4 << 20
"""How many values and characters a file may have, counting those of an alias each time that it is used."""

_LONGEST_ERROR = 500
"""Characters of an error, which quotes what the file has."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    yaml_implicit_resolvers = {None: [(PLAIN, re.compile(""))]}  # noqa: RUF012 - an attribute of yaml's


class Field(NamedTuple):
    """A value of a YAML file: its place, its name, and its node (None: not given)."""

    file: str
    name: str
    node: yaml.Node | None
    line: int = 1

    def wrong(self, what: str, *, hint: str | None = None) -> BuildYmlError:
        """The error `FILE:LINE: FIELD: WHAT`."""
        text = f"{self.name}: {what}" if self.name else what
        shown = text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}..."
        return BuildYmlError(f"{self.file}:{self.line}: {shown}", hint=hint)

    @property
    def given(self) -> bool:
        """Whether there is a value; `field:` alone has none."""
        return self.node is not None and (
            not isinstance(self.node, yaml.ScalarNode) or self.scalar() is not None
        )

    @property
    def written(self) -> bool:
        """Whether the field is there, with a value or without."""
        return self.node is not None

    def scalar(self) -> Scalar:
        """A single value; None if the field is not given."""
        if self.node is None:
            return None
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong(f"must be a single value, not {_kind(self.node)}")
        try:
            return resolve(self.node.tag, self.node.value)
        except ValueError as error:
            raise self.wrong(f"bad YAML: {error}") from error

    def text(self) -> str:
        """A string; a number or date is taken as it is written. Empty if the field is not given."""
        if not self.given:
            return ""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong(f"must be a string, not {_kind(self.node)}")
        value = self.scalar()
        return value if isinstance(value, str) else str(self.node.value)

    def boolean(self) -> bool:
        """True or false, in any of YAML's spellings; false if the field is not given."""
        value = self.scalar() if isinstance(self.node, yaml.ScalarNode) else ""
        if value is True or value in _TRUE:
            return True
        if not self.given or value is False or value in _FALSE:
            return False
        raise self.wrong(f"must be true or false, not {_kind(self.node)}")

    def number(self, lowest: int, highest: int) -> int:
        """A whole number within these limits; 0 if the field is not given."""
        if not self.given:
            return 0
        value = self.scalar() if isinstance(self.node, yaml.ScalarNode) else ""
        if isinstance(value, bool | str | None) or value != value // 1:
            raise self.wrong(f"must be a whole number, not {_kind(self.node)}")
        if not lowest <= value <= highest:
            raise self.wrong(f"must be from {lowest} to {highest}, not {_kind(self.node)}")
        return int(value)

    def items(self) -> list[Field]:
        """The items of a list, each with its own line, without blank ones; none if the field is not given."""
        if not self.given:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"must be a list, not {_kind(self.node)}")
        return [item for item in map(self._item, self.node.value) if item.given]

    def entries(self) -> dict[str, Field]:
        """The entries of a mapping, and those that its merge keys add; none if the field is not given."""
        if not self.given:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"must be a mapping, not {_kind(self.node)}")
        found: dict[str, Field] = {}
        merged: list[yaml.Node] = []
        for key, value in self.node.value:
            if key.tag == PLAIN and key.value == "<<":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                found[key.value] = Field(self.file, self._below(key.value), value, key.start_mark.line + 1)
        for node in merged:
            # What is nearer wins: https://yaml.org/type/merge.html
            for name, field in self._replace(node=node, line=node.start_mark.line + 1).entries().items():
                found.setdefault(name, field)
        return found

    def fields(self, known: Collection[str]) -> dict[str, Field]:
        """Every known field of a mapping, given or not; any other field is an error."""
        found = self.entries()
        for name, field in found.items():
            if name not in known:
                from difflib import get_close_matches  # noqa: PLC0415 - only needed for this error

                close = get_close_matches(name, known, 1)
                hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(sorted(known))}"
                raise field.wrong("unknown field", hint=hint)
        blank = {name: Field(self.file, self._below(name), None, self.line) for name in known}
        return blank | found

    def value(self) -> Any:
        """The value, with the lists and mappings in it."""
        if isinstance(self.node, yaml.MappingNode):
            return {name: field.value() for name, field in self.entries().items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [self._item(node).value() for node in self.node.value]
        return self.scalar()

    def path(self) -> str:
        """A path below the package, normalised."""
        text = self.text()
        path = posixpath.normpath(text) if text else "."
        if path.startswith("/"):
            raise self.wrong(f"{text} must be relative to the package")
        if path == ".." or path.startswith("../"):
            raise self.wrong(f"{text} is outside of the package")
        if path == ".":
            raise self.wrong(f"{text or 'an empty path'} is the package itself")
        return path

    def _item(self, node: yaml.Node) -> Field:
        return Field(self.file, self.name, node, node.start_mark.line + 1)

    def _below(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name


def load(file: str, text: bytes, *, first: bool = False) -> Field:
    """The one document of a YAML file, or the `first`; a field that is given twice is an error."""
    try:
        node = _compose(text, first=first)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BuildYmlError(f"{file}:{line}: bad YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise BuildYmlError(f"{file}:1: bad YAML: {_one_line(error)}") from error
    except RecursionError as error:
        raise BuildYmlError(f"{file}:1: bad YAML: it is nested too deeply") from error
    _check(file, node, (), {})
    return Field(file, "", node)


def _compose(text: bytes, *, first: bool) -> Any:
    loader = _Loader(text)
    try:
        if not first:
            return loader.get_single_node()
        return loader.get_node() if loader.check_node() else None
    finally:
        loader.dispose()


def _check(
    file: str, node: yaml.Node | None, above: tuple[yaml.Node, ...], checked: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """The number of values and characters; refuses double fields, and what is within itself or too deep."""
    if not isinstance(node, yaml.CollectionNode):
        return 1, len(node.value) if node else 0
    if node in above or len(above) == _DEEPEST:
        why = "it contains itself" if node in above else "it is nested too deeply"
        raise _bad(file, node, why)
    if id(node) in checked:
        return checked[id(node)]
    if isinstance(node, yaml.MappingNode):
        _refuse_duplicates_in(file, node)
    count, length = 1, 0
    for member in node.value:
        key, inner = member if isinstance(node, yaml.MappingNode) else (None, member)
        values, characters = _check(file, inner, (*above, node), checked)
        count, length = count + values, length + characters + (len(key.value) if key else 0)
    if count > _MOST_VALUES or length > _LONGEST:
        raise _bad(
            file, node, f"with its aliases it has more than {_MOST_VALUES} values, or {_LONGEST} bytes"
        )
    checked[id(node)] = count, length
    return count, length


def _bad(file: str, node: yaml.Node, why: str) -> BuildYmlError:
    return BuildYmlError(f"{file}:{node.start_mark.line + 1}: bad YAML: {why}")


def _refuse_duplicates_in(file: str, mapping: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise BuildYmlError(f"{file}:{line}: a field's name must be a string, not {_kind(key)}")
        if key.value in lines:
            raise BuildYmlError(
                f"{file}:{line}: {key.value}: is given twice, first in line {lines[key.value]}"
            )
        lines[key.value] = line


def _kind(node: yaml.Node | None) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return {"sequence": "a list", "mapping": "a mapping"}.get(getattr(node, "id", ""), "nothing")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
