"""Files of a site: written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.system.files import make_private, put_in_place, write_once

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_missing(texts: Mapping[Path, str], mode: int = 0o600) -> list[Path]:
    """Write the files that do not exist; returns them."""
    missing = [path for path in texts if not path.exists()]
    for path in missing:
        make_private(path.parent)
        write_once(path, _content(texts[path]), mode)
    return missing


def write_changed(texts: Mapping[Path, str], mode: int = 0o600) -> list[Path]:
    """Write the files that do not exist or differ; returns them."""
    changed = [path for path in texts if not holds(path, texts[path])]
    for path in changed:
        make_private(path.parent)
        new = path.with_name(f".new-{path.name}")
        new.unlink(missing_ok=True)
        write_once(new, _content(texts[path]), mode)
        put_in_place(new, path)
    return changed


def holds(path: Path, text: str) -> bool:
    """Whether the file exists with this text."""
    return path.exists() and path.read_bytes() == _content(text).encode()


def _content(text: str) -> str:
    return f"{text.rstrip()}\n"
