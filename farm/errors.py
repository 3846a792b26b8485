"""The errors of the farm, with the exit code of each and whether a retry can help.

An error is one line that says what happened, to what, and what to do next. `FACTS` is the only table of exit
codes and of what can be retried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class FarmError(Exception):
    """The root of all errors that the farm can explain.

    Args:
        message: what happened, to what; one line.
        hint: what to do next; one line, or None if the message says it.
    """

    registry: ClassVar[dict[str, type[FarmError]]] = {}

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.parts: tuple[FarmError, ...] = ()
        """The errors that this one combines, if any; each is reported on its own line."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        FarmError.registry[cls.__name__] = cls

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later although nobody changed anything."""
        return facts_of(type(self)).retryable

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this error."""
        return facts_of(type(self)).exit_code

    def to_json(self) -> dict[str, Any]:
        """The error for another process: {kind, message, hint}."""
        return {"kind": type(self).__name__, "message": self.message, "hint": self.hint}

    @staticmethod
    def from_json(data: dict[str, Any]) -> FarmError:
        """The inverse of `to_json`; an unknown kind becomes a plain FarmError."""
        kind = FarmError.registry.get(str(data.get("kind")), FarmError)
        return kind(str(data["message"]), hint=data.get("hint"))


def internal_error(error: Exception, *, hint: str) -> FarmError:
    """An unexpected exception as an error of the farm; `hint` says where its traceback is."""
    return FarmError(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}", hint=hint)


def combine(errors: Sequence[FarmError]) -> FarmError:
    """Several errors of one kind as one error of that kind, which keeps all their messages."""
    if len(errors) == 1:
        return errors[0]
    whole = type(errors[0])("; ".join(map(str, errors)))
    whole.parts = tuple(errors)
    return whole


class InputError(FarmError):
    """The input is invalid; nothing was changed."""


class BuildYmlError(InputError):
    """A build.yml is invalid; the message names file, line and field."""


class GitError(InputError):
    """The package is not in git, or git failed."""


class DirtyError(InputError):
    """The package has uncommitted changes, and only committed content is pushed."""


class SettingsError(InputError):
    """A setting is invalid; the message names it and its source."""


class NoWorkerError(FarmError):
    """No worker serves a queue that the run needs."""


class RegistryError(FarmError):
    """The registry answered with an error that a retry does not change."""


class RegistryUnavailableError(RegistryError):
    """The registry cannot be reached, or is overloaded or failing (429, 5xx)."""

    pause: float | None = None
    """Seconds after which the registry wants the request again, if it said so."""


class RegistryDamagedError(RegistryError):
    """The registry's content does not match its digest; a proxy may have damaged it, and a retry may help."""


class RegistryDeniedError(RegistryError):
    """The registry refused the login, or the login lacks permission (401, 403)."""


class EngineError(FarmError):
    """The Docker Engine answered with an error that a retry does not change."""


class EngineUnavailableError(EngineError):
    """The Docker Engine cannot be reached, or closed the connection during a call."""


class BuildFailedError(FarmError):
    """A step of the Dockerfile failed; the message names the step and its exit status."""


class DiskFullError(FarmError):
    """The disk of the worker is full; pruning the build cache may free space."""


class DiskTooSmallError(DiskFullError):
    """A build filled the disk of the worker again, right after the build cache was pruned."""


class TemporaryFullError(FarmError):
    """The temporary directory is full; the farm does not delete files of others there."""


class ContextError(FarmError):
    """A build context is missing, damaged, or does not match its tag."""


class CacheError(FarmError):
    """The LinuxKit cache cannot be read or written, or its content is damaged."""


class CacheBusyError(CacheError):
    """Another process holds the lock of the cache, or removed a blob that was about to be tagged."""


class TrustError(FarmError):
    """The signature could not be made, or is not valid."""


class TrustUnavailableError(TrustError):
    """The notary server cannot be reached, or did not answer in time."""


class TrustDeniedError(TrustError):
    """The passphrase is wrong, the key is missing, or the notary server refused the login."""


class StateUnavailableError(FarmError):
    """Redis, the broker and the state store, cannot be reached."""


class StateError(FarmError):
    """The run, package or worker does not exist, or its state does not allow the operation."""


class LeaseLostError(FarmError):
    """Another holder has the lease now; the result of this one must not be recorded."""


class CancelledError(FarmError):
    """The run was cancelled while this was in progress."""


class RunFailedError(FarmError):
    """A run ended with failed packages; each was reported when it failed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The exit code of a command that ends with an error, and whether a retry can help."""

    exit_code: int
    retryable: bool = False


# Exit codes: 1 a build or an operation failed; 2 wrong input or use; 3 a service cannot be reached;
# 4 a login, key or signature was refused. 130 is Ctrl-C. docs/commands.md repeats this for users.
FACTS: dict[type[FarmError], Facts] = {
    FarmError: Facts(1),
    InputError: Facts(2),
    NoWorkerError: Facts(3),
    RegistryError: Facts(1),
    RegistryUnavailableError: Facts(3, retryable=True),
    RegistryDamagedError: Facts(1, retryable=True),
    RegistryDeniedError: Facts(4),
    EngineError: Facts(1),
    EngineUnavailableError: Facts(3, retryable=True),
    BuildFailedError: Facts(1),
    DiskFullError: Facts(1, retryable=True),
    DiskTooSmallError: Facts(1),
    TemporaryFullError: Facts(1, retryable=True),
    ContextError: Facts(1),
    CacheError: Facts(1),
    CacheBusyError: Facts(1, retryable=True),
    TrustError: Facts(4),
    TrustUnavailableError: Facts(3, retryable=True),
    TrustDeniedError: Facts(4),
    StateUnavailableError: Facts(3, retryable=True),
    StateError: Facts(1),
    LeaseLostError: Facts(1),
    CancelledError: Facts(1),
    RunFailedError: Facts(1),
}


def facts_of(kind: type[FarmError]) -> Facts:
    """The facts of a class, or of its nearest ancestor with an entry in `FACTS`."""
    return next(FACTS[base] for base in kind.__mro__ if base in FACTS)
