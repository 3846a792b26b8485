"""Reading files that somebody else may have put there."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_regular(path: Path, limit: int, *, within: Path | None = None) -> bytes:
    """The content of a regular file of at most `limit` bytes; links may lead to files `within` only.

    A named pipe or device could wait, or go on, for ever.

    Raises:
        OSError: it cannot be read, or is not such a file; `strerror` says why.
    """
    if within and not (real := path.resolve()).is_relative_to(within):
        raise OSError(errno.EXDEV, f"it is a link to {real}, which is outside of {within}")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return content
