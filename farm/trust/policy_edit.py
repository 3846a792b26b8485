"""Changes of a policy file: one at a time, and with its comments, where they are between the entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from farm.errors import BuildYmlError, SettingsError
from farm.syntax.yaml_fields import load
from farm.system.locks import locked
from farm.trust.policy import item_line, text_of
from farm.trust.policy_file import read_policy_text, save_policy_text
from farm.trust.policy_text import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.trust.policy import Policy

    _Entries = list[dict[str, Any]]

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
        SettingsError: one of the policies is not valid.
    """
    before, wanted, new = policy_of(file, text).to_json(), after.to_json(), text_of(after)
    policy_of("new policy", new.encode())
    try:
        lines = text.decode().splitlines()
        for section in ("maintainers", "workers"):
            lines = _with_entries(lines, section, before[section], wanted[section])
        edited = "\n".join(lines) + "\n"
        return edited if text.strip() and policy_of(file, edited.encode()) == after else new
    except (BuildYmlError, SettingsError, ValueError):
        # Its spelling is not one line after another for each entry.
        return new


def _with_entries(lines: list[str], section: str, before: _Entries, after: _Entries) -> list[str]:
    """The lines, with other entries in a section; those that did not change keep their spelling."""
    file = load("", "\n".join(lines).encode()).entries()
    nodes: list[Any] = [item.node for item in file[section].items()] if section in file else []
    wanted = {entry["key"]: entry for entry in after}
    kept = {entry["key"] for entry in before}
    added = [item_line(entry) for entry in after if entry["key"] not in kept]
    if added and not nodes:
        lines = [*(line for line in lines if not line.startswith(f"{section}:")), f"{section}:"]
    end = _last_line(nodes[-1]) + 1 if nodes else len(lines)
    lines = [*lines[:end], *added, *lines[end:]]
    for node, entry in reversed(list(zip(nodes, before, strict=True))):
        new = wanted.get(entry["key"])
        if new != entry:
            lines[node.start_mark.line : _last_line(node) + 1] = [item_line(new)] if new else []
    return lines


def _last_line(node: Any) -> int:
    """The mark at the end of a block is that of what follows it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    line: int = node.end_mark.line
    return line
