"""How a file of a context may differ from the blob that is committed, and how the blob's id follows from it.

What git checks out can differ from what is committed: LFS, line ends, $Id$. A context holds what is checked
out. Its tar names the form of each such file, from which a worker computes the blob's id again.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import ContextError
from farm.package.attributes import Conversion

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN, LFS, IDENT, CRLF, BOTH = "", "lfs", "ident", "crlf", "ident,crlf"
FORMS = (PLAIN, LFS, IDENT, CRLF, BOTH)
LONGEST_TEXT = 1 << 26
"""Bytes of a file whose text is converted; it is held in memory."""
LONGEST_POINTER = 1024
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
_PARSED = re.compile(_POINTER.replace(".", r"\.").format("([0-9a-f]{64})", "(0|[1-9][0-9]*)").encode())
_VERSIONS = (
    b"version https://git-lfs.github.com/",
    b"version https://hawser.github.com/",
    b"version http://git-media.io/",
)
_KEYWORD, _EXPANDED = b"$Id$", re.compile(rb"\$Id: [0-9a-f]{40} \$")
_ANY_EXPANDED = re.compile(rb"\$Id:[^$\n]*\$")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_PRINTABLE = bytes([*b"\b\t\x1b\x0c\n\r", *range(0x20, 0x7F), *range(0x80, 0x100)])


class Pointer(NamedTuple):
    """What a file in LFS is committed as: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""

    sha256: str
    size: int

    @property
    def text(self) -> bytes:
        """The pointer as git-lfs writes it."""
        return _POINTER.format(self.sha256, self.size).encode()

    @staticmethod
    def parse(blob: bytes) -> Pointer | None:
        """The pointer; None for anything but a pointer as git-lfs writes it."""
        match = _PARSED.fullmatch(blob)
        return Pointer(match[1].decode(), int(match[2])) if match else None


def claims_pointer(start: bytes) -> bool:
    """Whether what begins so says that it is a pointer of LFS."""
    return start.startswith(_VERSIONS)


def blob_start(size: int) -> bytes:
    """What precedes the content of a blob where its id is computed.

    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage
    """
    return b"blob %d\0" % size


def blob_id(content: Iterable[bytes], size: int) -> str:
    """The hex id of a blob with this content, given in pieces, and size in bytes."""
    digest = hashlib.sha1(blob_start(size), usedforsecurity=False)
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()


def committed_id(form: str, content: Iterable[bytes], size: int) -> str:
    """The id of the blob that is committed for a file of this form and content.

    Content that git would not write for that blob in this form is taken for a blob itself, or else many
    contents would have the id of one.
    """
    if form == PLAIN:
        return blob_id(content, size)
    if form == LFS:
        digest = hashlib.sha256()
        for piece in content:
            digest.update(piece)
        text = Pointer(digest.hexdigest(), size).text
    elif size > LONGEST_TEXT:
        raise ContextError(f"the context has a text of {size} bytes whose lines are converted")
    else:
        return _committed_text_id(form, b"".join(content))
    return blob_id([text], len(text))


def _committed_text_id(form: str, content: bytes) -> str:
    crlf, ident = form in (CRLF, BOTH), form in (IDENT, BOTH)
    text = content.replace(b"\r\n", b"\n") if crlf else content
    text = _EXPANDED.sub(_KEYWORD, text) if ident else text
    oid = blob_id([text], len(text))
    again = checked_out(text, oid, Conversion(crlf=crlf, ident=ident))
    return oid if again == (form, content) else blob_id([content], len(content))


def checked_out(blob: bytes, oid: str, conversion: Conversion) -> tuple[str, bytes]:
    """The form and the content of a file for which this blob is committed, as git would write it."""
    content, forms = blob, []
    if conversion.ident and (_KEYWORD in content or _ANY_EXPANDED.search(content)):
        content = _ANY_EXPANDED.sub(_KEYWORD, content).replace(_KEYWORD, b"$Id: %s $" % oid.encode())
        forms.append(IDENT)
    if conversion.crlf and _BARE_LF.search(content) and not (conversion.auto and _kept_by_auto(content)):
        content = _BARE_LF.sub(b"\r\n", content)
        forms.append(CRLF)
    return ",".join(forms), content


def _kept_by_auto(content: bytes) -> bool:
    """Whether text=auto leaves the line ends.

    https://github.com/git/git/blob/v2.39.5/convert.c (gather_stats)
    """
    unprintable = len(content.translate(None, delete=_PRINTABLE)) - content.endswith(b"\x1a")
    printable = len(content) - unprintable - content.count(b"\n") - content.endswith(b"\x1a")
    return b"\r" in content or b"\0" in content or printable >> 7 < unprintable
