"""How a package's tag is made from git's hashes: pure functions."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HASH = re.compile(r"\{\{\s*\.Hash\s*\}\}")
_DIRTY_DIGITS = 7


def combined_hash(hashes: Sequence[str]) -> str:
    """One hash for a package: its own tree hash, or sha1 over its own and those of its extra sources.

    Args:
        hashes: hex tree hashes, the package's first, then each extra source's in order; at least one.
    """
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha1("".join(hashes).encode(), usedforsecurity=False).hexdigest()


def dirty_hash(clean: str, contents: Iterable[bytes]) -> str:
    """The hash of uncommitted content: HASH-dirty-XXXXXXX.

    Args:
        clean: the hash that the package has where nothing is changed.
        contents: the bytes of its files, in pieces of any size.
    """
    summary = hashlib.sha256()
    for piece in contents:
        summary.update(piece)
    return f"{clean}-dirty-{summary.hexdigest()[:_DIRTY_DIGITS]}"


def render_tag(template: str, hash_: str) -> str:
    """The tag that a template makes of a hash: `{{.Hash}}` stands for the hash.

    Raises:
        InputError: the template asks for something else.
    """
    if "{{" in _HASH.sub("", template):
        raise InputError(
            f"the tag template {template!r} cannot be filled in", hint="it may hold {{.Hash}} and plain text"
        )
    return _HASH.sub(lambda _: hash_, template)
