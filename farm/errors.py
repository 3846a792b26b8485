"""Every error that the farm raises on purpose, and what follows from each.

An error is one sentence that says what happened, to what, and what to do next. Its class says the
exit code of the command and whether doing the same again can help; both stand in `FACTS`, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class FarmError(Exception):
    """The root of the tree: something the farm can explain in one sentence.

    Args:
        message: what happened, to what; one line.
        hint: what to do next; one line, or None where the message says it.
    """

    registry: ClassVar[dict[str, type[FarmError]]] = {}

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.parts: tuple[FarmError, ...] = ()
        """The errors that this one is made of, if of several; each is told in a line of its own."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        FarmError.registry[cls.__name__] = cls

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later with nothing changed by hand."""
        return facts_of(type(self)).retryable

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this error."""
        return facts_of(type(self)).exit_code

    def to_json(self) -> dict[str, Any]:
        """The error as it crosses a process boundary: {kind, message, hint}."""
        return {"kind": type(self).__name__, "message": self.message, "hint": self.hint}

    @staticmethod
    def from_json(data: dict[str, Any]) -> FarmError:
        """The error that `to_json` described; an unknown kind becomes a plain FarmError."""
        kind = FarmError.registry.get(str(data.get("kind")), FarmError)
        return kind(str(data["message"]), hint=data.get("hint"))


def internal_error(error: Exception, *, hint: str) -> FarmError:
    """What nobody expected, as an error that can be told and stored; `hint` says where its traceback is."""
    return FarmError(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}", hint=hint)


def together(errors: Sequence[FarmError]) -> FarmError:
    """Errors of one kind, of which none hides another, as one of that kind."""
    if len(errors) == 1:
        return errors[0]
    whole = type(errors[0])("; ".join(map(str, errors)))
    whole.parts = tuple(errors)
    return whole


class InputError(FarmError):
    """What the user gave cannot be used; nothing was changed."""


class BuildYmlError(InputError):
    """A build.yml that breaks its rules; the message carries file, line and field."""


class GitError(InputError):
    """The package is not in git, or git cannot say what was asked."""


class DirtyError(InputError):
    """Uncommitted changes, where only committed content may go."""


class SettingsError(InputError):
    """A setting that cannot be understood; the message names it and where it came from."""


class NoWorkerError(FarmError):
    """No worker serves a queue that the run needs."""


class RegistryError(FarmError):
    """The registry answered, and its answer was an error that a repeat will not change."""


class RegistryUnavailableError(RegistryError):
    """The registry cannot be reached, or says that it cannot answer now (429, 5xx)."""


class RegistryDamagedError(RegistryError):
    """The registry sent other bytes than it names; a proxy on the way may do so once and not again."""


class RegistryDeniedError(RegistryError):
    """The registry refused the login, or the login may not do this (401, 403)."""


class EngineError(FarmError):
    """The Docker Engine answered with an error that a repeat will not change."""


class EngineUnavailableError(EngineError):
    """The Docker Engine cannot be reached, or went away in the middle of a call."""


class BuildFailedError(FarmError):
    """A step of the Dockerfile failed; the message names the step and its status."""


class DiskFullError(FarmError):
    """The disk of the worker is full; a clean-up may heal it."""


class DiskTooSmallError(DiskFullError):
    """A build filled the disk of the worker again, right after a clean-up."""


class TemporaryFullError(FarmError):
    """The directory for temporary files is full; what lies there is not the farm's to remove."""


class ContextError(FarmError):
    """A build context that is missing, damaged, or not what its tag names."""


class CacheError(FarmError):
    """The LinuxKit cache cannot be read or written, or what it holds is damaged."""


class CacheBusyError(CacheError):
    """Somebody else holds the cache's lock, or took away what was about to be named in it."""


class TrustError(FarmError):
    """The signature could not be made or does not hold."""


class TrustUnavailableError(TrustError):
    """The notary server cannot be reached, or did not answer in time."""


class TrustDeniedError(TrustError):
    """A wrong passphrase, a missing key, or a login that the notary server refuses."""


class StateUnavailableError(FarmError):
    """Redis, the broker and the state store, cannot be reached."""


class StateError(FarmError):
    """The state does not hold what was asked for, or is not in a state that allows it."""


class LeaseLostError(FarmError):
    """Another holder has the lease now; what was under way must not be recorded."""


class CancelledError(FarmError):
    """Somebody cancelled the run while this was under way."""


class RunFailedError(FarmError):
    """A run ended with failed packages; each was reported where it failed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What follows from an error: the command's exit code, and whether a retry can help."""

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
    """The facts of the nearest class in the tree that has an entry of its own."""
    return next(FACTS[base] for base in kind.__mro__ if base in FACTS)
