"""The ids of git's objects: sha1 over "TYPE SIZE", a zero byte and the content.

https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE, EXECUTABLE, GROUP_WRITABLE, SYMLINK, DIRECTORY = "100644", "100755", "100664", "120000", "40000"
"""The modes in git's trees; git writes 100664 no more, but old histories have it.

https://git-scm.com/docs/git-fast-import#_filemodify
"""

Member = tuple[bytes, str, str]
"""Name, mode and object id of a member of a tree."""


def blob_id(content: Iterable[bytes], size: int) -> str:
    """The hex id of a blob with this content, given in pieces, and size in bytes."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()


def tree_id(members: Iterable[Member]) -> str:
    """The hex id of a tree: "MODE NAME", a zero byte and the 20 bytes of the id for each member.

    Members are sorted by name, directories as if their names ended in a slash:
    https://github.com/git/git/blob/v2.30.0/read-cache.c (base_name_compare)
    """
    ordered = sorted(members, key=lambda member: member[0] + b"/" if member[1] == DIRECTORY else member[0])
    body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for name, mode, oid in ordered)
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
