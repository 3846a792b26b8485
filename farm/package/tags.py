"""From hashes to a package's tag, by the rules of linuxkit: pure functions.

https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/pkglib/pkglib.go (NewFromConfig)
"""

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
    """The tree hash of a package, or sha1 over its own hash and those of its extra sources.

    Args:
        hashes: hex tree hashes: the package's, then those of its extra sources in order.
    """
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha1("".join(hashes).encode(), usedforsecurity=False).hexdigest()


def dirty_hash(clean: str, contents: Iterable[bytes]) -> str:
    """The hash of a dirty package: HASH-dirty-XXXXXXX.

    Args:
        clean: the hash that the package has without its changes.
        contents: the bytes of its files, in pieces of any size.
    """
    digest = hashlib.sha256()
    for piece in contents:
        digest.update(piece)
    return f"{clean}-dirty-{digest.hexdigest()[:_DIRTY_DIGITS]}"


def render_tag(template: str, hash_: str) -> str:
    """A tag template with `{{.Hash}}` replaced.

    Raises:
        InputError: the template contains another placeholder.
    """
    if "{{" in _HASH.sub("", template):
        raise InputError(f"invalid tag template {template!r}", hint="it may contain {{.Hash}} and plain text")
    return _HASH.sub(lambda _: hash_, template)
