"""The policy's file: read only if nobody else can have written it, replaced as a whole."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farm.errors import PolicyError, SettingsError
from farm.settings import environment
from farm.system.files import put_in_place
from farm.trust.policy import text_of
from farm.trust.policy_text import policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.trust.policy import Policy

_LARGEST = 1 << 20
_MOST_LINKS = 40
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MODE = 0o644
_Version = tuple[int, ...]


class PolicyFile:
    """A policy file in a process that runs for months: read again whenever it was changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[_Version, Policy] | None = None

    def current(self) -> Policy:
        """The policy as it is on disk now.

        Raises:
            PolicyError: somebody else could have written the file.
            SettingsError: it cannot be read, or is not a valid policy.
        """
        with _opened(self.path) as (file, version):
            if self._read is None or self._read[0] != version:
                self._read = version, policy_of(str(self.path), _content(file, self.path))
        return self._read[1]


def load_policy(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        PolicyError: somebody else could have written the file.
        SettingsError: it cannot be read, or is not a valid policy.
    """
    return PolicyFile(path).current()


def read_policy_text(path: Path) -> bytes:
    """The bytes of a policy file; raises what `load_policy` does."""
    with _opened(path) as (file, _):
        return _content(file, path)


def save_policy(path: Path, policy: Policy) -> None:
    """Write a policy, whole or not at all.

    Raises:
        PolicyError: others can replace files in its directory.
        SettingsError: the file cannot be written.
    """
    save_policy_text(path, text_of(policy))


def save_policy_text(path: Path, text: str) -> None:
    """Write the text of a policy as `save_policy` does; a link to the file stays a link."""
    try:
        path = _follow(path) if path.exists() else _follow(path.parent) / path.name
        mode = stat.S_IMODE(path.stat().st_mode) & ~_WRITABLE_BY_OTHERS if path.exists() else _MODE
        handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        new = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text)
            put_in_place(new, path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"policy: {path} cannot be written: {error.strerror}") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], _Version]]:
    """The file, if it is regular and safe from others; and what is different after each change of it."""
    try:
        real = _follow(path)
        if not stat.S_ISREG(real.lstat().st_mode):
            raise PolicyError(f"policy: {path} is not a regular file")
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SettingsError(
            f"policy: {path} cannot be read: {error.strerror}", hint="farm policy add creates a policy"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        _refuse_foreign(path, state)
        yield file, (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size)


def _content(file: IO[bytes], path: Path) -> bytes:
    text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise SettingsError(f"policy: {path} is larger than {_LARGEST >> 20} MiB")
    return text


def _follow(path: Path) -> Path:
    """The path without links; refuses each directory and link on the way that others could have changed."""
    parts = list(reversed(path.absolute().parts[1:]))
    at, links = Path("/"), 0
    _refuse_foreign(at, at.lstat())
    while parts:
        part = parts.pop()
        if part == "..":
            at = at.parent
            continue
        state = (at / part).lstat()
        if stat.S_ISLNK(state.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise SettingsError(f"policy: {path} leads through too many links")
            _refuse_foreign(at / part, state)
            target = (at / part).readlink()
            at = Path("/") if target.is_absolute() else at
            parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        at /= part
        if stat.S_ISDIR(state.st_mode):
            _refuse_foreign(at, state)
    return at


def _refuse_foreign(path: Path, state: os.stat_result) -> None:
    """Refuse what belongs to another user, or what others may change; the mode of a link means nothing."""
    if state.st_uid not in _trusted_users():
        raise PolicyError(
            f"policy: {path} belongs to another user, who could change the policy",
            hint="give it to root or to the user of the farm: chown",
        )
    writable = state.st_mode & _WRITABLE_BY_OTHERS
    if stat.S_ISDIR(state.st_mode):
        # Nobody but their owners can replace the files in a sticky directory such as /tmp.
        writable = 0 if state.st_mode & stat.S_ISVTX else writable
        writable &= ~stat.S_IWGRP if _is_own_group(state) else ~0
    if writable and not stat.S_ISLNK(state.st_mode):
        raise PolicyError(
            f"policy: {path} can be written by other users, who could change the policy",
            hint=f"chmod go-w {path}",
        )


def _trusted_users() -> set[int]:
    """Who may own what leads to the policy: root, this user and, as with git, who became root by sudo."""
    asked_for_root = environment(["SUDO_UID"]).values() if os.geteuid() == 0 else ()
    return {0, os.geteuid(), *(int(uid) for uid in asked_for_root if uid.isdecimal())}


def _is_own_group(state: os.stat_result) -> bool:
    """Whether the group is that of the owner alone; with such groups, systems make directories for both."""
    try:
        owner, group = pwd.getpwuid(state.st_uid), grp.getgrgid(state.st_gid)
    except KeyError:
        return False
    return (
        owner.pw_gid == group.gr_gid
        and owner.pw_name == group.gr_name
        and set(group.gr_mem) <= {owner.pw_name}
    )
