"""Changes of a policy file: one at a time, and with its comments, where they are between the entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from farm.errors import SettingsError
from farm.syntax.yaml_fields import load
from farm.system.locks import locked
from farm.trust.policy_file import read_policy_text, save_policy_text
from farm.trust.policy_text import item_line, policy_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.trust.policy import Policy

_LOCK_WAIT = 30.0


def change_policy(path: Path, change: Callable[[Policy], Policy]) -> Policy:
    """Replace the policy in a file, or that of a new file, by what `change` makes of it; returns the new one.

    Raises:
        PolicyError: somebody else could have written the file.
        SettingsError: it cannot be read or written, or is not valid before or after the change.
    """
    busy = SettingsError(f"policy: {path} is being changed by another process", hint="try again")
    try:
        with locked(path.with_name(f".{path.name}.lock"), timeout=_LOCK_WAIT, busy=busy):
            text = read_policy_text(path) if path.exists() else b""
            before = policy_of(str(path), text)
            after = change(before)
            if after != before or not text:
                save_policy_text(path, rewritten(str(path), text, after))
    except OSError as error:
        raise SettingsError(f"policy: {path} cannot be changed: {error.strerror}") from error
    return after


def rewritten(file: str, text: bytes, after: Policy) -> str:
    """The text with other maintainers and workers, each in its line; a new text if that is not possible.

    Raises:
        SettingsError: `after` is not valid.
    """
    policy_of("new policy", text_of(after).encode())
    sections = {name: value for name, value in after.to_json().items() if name in ("maintainers", "workers")}
    lines = text.decode(errors="replace").splitlines()
    for section, entries in sections.items():
        lines = _with_entries(lines, section, entries)
    edited = "\n".join(lines) + "\n"
    try:
        return edited if text.strip() and policy_of(file, edited.encode()) == after else text_of(after)
    except SettingsError:
        return text_of(after)


class _Place(NamedTuple):
    """The lines of an entry."""

    start: int
    end: int
    entry: dict[str, Any]


def _with_entries(lines: list[str], section: str, entries: list[dict[str, Any]]) -> list[str]:
    """The lines, with exactly these entries in a section; those that did not change keep their spelling."""
    file = load("", "\n".join(lines).encode()).entries()
    places = [_place(item.node, item.value()) for item in file[section].items()] if section in file else []
    wanted = {entry["key"]: entry for entry in entries}
    kept = {_words(place.entry["key"]): place for place in places}
    lines = list(lines)
    added = [item_line(entry) for key, entry in wanted.items() if key not in kept]
    if added and not places:
        lines = [line for line in lines if not line.startswith(f"{section}:")] + [f"{section}:"]
    end = places[-1].end if places else len(lines)
    lines[end:end] = added
    for key, place in reversed(kept.items()):
        if key not in wanted:
            del lines[place.start : place.end]
        elif wanted[key].get("until") != place.entry.get("until"):
            lines[place.start : place.end] = [item_line(wanted[key])]
    return lines


def _place(node: Any, entry: dict[str, Any]) -> _Place:
    return _Place(node.start_mark.line, _last_line(node) + 1, entry)


def _last_line(node: Any) -> int:
    """The mark at the end of a block is that of what follows it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    line: int = node.end_mark.line
    return line


def _words(key: str) -> str:
    """A key without its comment."""
    return " ".join(key.split()[:2])
