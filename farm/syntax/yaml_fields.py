"""YAML read one field at a time, so that every error names file, line and field."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from farm.errors import BuildYmlError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BOOLEAN = "tag:yaml.org,2002:bool"
_NULL = "tag:yaml.org,2002:null"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Field(NamedTuple):
    """A value of a YAML file: its place, its name, and its node (None: not given)."""

    file: str
    name: str
    node: yaml.Node | None
    line: int = 1

    def wrong(self, what: str, *, hint: str | None = None) -> BuildYmlError:
        """The error `FILE:LINE: FIELD: WHAT`."""
        label = f"{self.name}: " if self.name else ""
        return BuildYmlError(f"{self.file}:{self.line}: {label}{what}", hint=hint)

    @property
    def given(self) -> bool:
        """Whether there is a value; `field:` alone has none."""
        return self.node is not None and self.node.tag != _NULL

    def text(self) -> str:
        """A string; a number or date is taken as it is written."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong(f"must be a string, not {_kind(self.node)}")
        return str(self.node.value)

    def boolean(self) -> bool:
        """True or false, in any of YAML's spellings."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag != _BOOLEAN:
            raise self.wrong(f"must be true or false, not {_kind(self.node)}")
        return self.node.value.lower() in ("true", "yes", "on")

    def items(self) -> Iterator[Field]:
        """The items of a list, each with its own line; none if the field is not given."""
        if not self.given:
            return
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"must be a list, not {_kind(self.node)}")
        for node in self.node.value:
            item = Field(self.file, self.name, node, node.start_mark.line + 1)
            if not item.given:
                raise item.wrong("a list item is empty")
            yield item

    def fields(self, known: Collection[str]) -> dict[str, Field]:
        """Every known field of a mapping, given or not; any other field is an error."""
        found = {name: Field(self.file, self._below(name), None, self.line) for name in known}
        if not self.given:
            return found
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"must be a mapping, not {_kind(self.node)}")
        for key, value in self.node.value:
            field = Field(self.file, self._below(str(key.value)), value, key.start_mark.line + 1)
            if key.value not in known:
                from difflib import get_close_matches  # noqa: PLC0415 - only needed for this error

                close = get_close_matches(str(key.value), known, 1)
                hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(sorted(known))}"
                raise field.wrong("unknown field", hint=hint)
            found[key.value] = field
        return found

    def json(self) -> str:
        """A mapping as compact JSON with sorted keys."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(f"must be a mapping, not {_kind(self.node)}")
        try:
            value = yaml.constructor.SafeConstructor().construct_document(self.node)
            return json.dumps(
                value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
            )
        except (TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise self.wrong(f"cannot be converted to JSON: {_one_line(error)}") from error

    def value(self) -> Any:
        """The value as YAML constructs it; an error for an impossible date, for instance."""
        try:
            return yaml.constructor.SafeConstructor().construct_document(self.node) if self.given else None
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise self.wrong(f"bad YAML: {_one_line(error)}") from error

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

    def _below(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name


def load(file: str, text: bytes) -> Field:
    """The one document of a YAML file; a field that is given twice is an error."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BuildYmlError(f"{file}:{line}: bad YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise BuildYmlError(f"{file}:1: bad YAML: {_one_line(error)}") from error
    except RecursionError as error:
        raise BuildYmlError(f"{file}:1: bad YAML: it is nested too deeply") from error
    _refuse_duplicates(file, node)
    return Field(file, "", node)


def _refuse_duplicates(file: str, root: yaml.Node | None) -> None:
    remaining, seen = [root], set[int]()
    while remaining:
        node = remaining.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            remaining.extend(node.value)
        if isinstance(node, yaml.MappingNode):
            _refuse_duplicates_in(file, node)
            remaining.extend(value for _, value in node.value)


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
