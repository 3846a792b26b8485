"""The errors of the farm, with the exit code of each and whether a retry can help.

An error is one line that says what happened, to what, and what to do next.

Exit codes: 1 a build or an operation failed; 2 wrong input or use; 3 a service cannot be reached; 4 a login,
key or signature was refused. 130 is Ctrl-C, 129 SIGHUP, 143 SIGTERM. docs/commands.md repeats this for users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence


E = TypeVar("E", bound="FarmError")


class FarmError(Exception):
    """The root of all errors that the farm can explain.

    Args:
        message: what happened, to what; one line.
        hint: what to do next; one line, or None if the message says it.
    """

    registry: ClassVar[dict[str, type[FarmError]]] = {}
    exit_code: ClassVar[int] = 1
    """The exit code of a command that ends with this error."""
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later although nobody changed anything."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.parts: tuple[FarmError, ...] = ()
        """The errors that this one combines, if any; each is reported on its own line."""

    def __init_subclass__(cls, *, exit_code: int | None = None, retryable: bool | None = None) -> None:
        """What a kind does not say is as in its base class."""
        super().__init_subclass__()
        cls.exit_code = cls.exit_code if exit_code is None else exit_code
        cls.retryable = cls.retryable if retryable is None else retryable
        FarmError.registry[cls.__name__] = cls

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

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


def combine(errors: Sequence[E]) -> E:
    """Several errors of one kind as one error of that kind, which keeps all their messages."""
    if len(errors) == 1:
        return errors[0]
    whole = type(errors[0])("; ".join(map(str, errors)))
    whole.parts = tuple(errors)
    return whole


class InputError(FarmError, exit_code=2):
    """The input is invalid; nothing was changed."""


class BuildYmlError(InputError):
    """A build.yml is invalid; the message names file, line and field."""


class NotUnderstoodError(InputError):
    """A job or a record of another release of the farm, which this one cannot read."""


class GitError(InputError):
    """The package is not in git, or git failed."""


class GitUnavailableError(GitError, exit_code=3, retryable=True):
    """A repository elsewhere cannot be read now, or git took too long."""


class ForgeError(FarmError):
    """The forge answered with an error that a retry does not change."""


class ForgeUnavailableError(ForgeError, exit_code=3, retryable=True):
    """The forge cannot be reached, or cannot answer now (429, 5xx)."""


class ForgeDeniedError(ForgeError, exit_code=4):
    """The forge refused the token, or the token lacks permission (401, 403)."""


class DirtyError(InputError):
    """The package has uncommitted changes, and only committed content is pushed."""


class SettingsError(InputError):
    """A setting is invalid; the message names it and its source."""


class OutputError(FarmError):
    """Standard output cannot be written, as on a full disk."""


class ReaderGoneError(OutputError):
    """The program that read standard output has ended, as `head` does; that is no error to report."""


class NoWorkerError(FarmError, exit_code=3):
    """No worker serves a queue that the run needs."""


class RegistryError(FarmError):
    """The registry answered with an error that a retry does not change."""


class RegistryUnavailableError(RegistryError, exit_code=3, retryable=True):
    """The registry cannot be reached, or is overloaded or failing (429, 5xx)."""

    pause: float | None = None
    """Seconds after which the registry wants the request again, if it said so."""


class RegistryDamagedError(RegistryError, retryable=True):
    """The registry's content does not match its digest; a proxy may have damaged it, and a retry may help."""


class RegistryDeniedError(RegistryError, exit_code=4):
    """The registry refused the login, or the login lacks permission (401, 403)."""


class RegistryUntrustedError(RegistryError, exit_code=4):
    """The certificate of the registry is not trusted, has expired, or is for another name."""


class EngineError(FarmError):
    """The Docker Engine answered with an error that a retry does not change."""


class EngineUnavailableError(EngineError, exit_code=3, retryable=True):
    """The Docker Engine cannot be reached, or closed the connection during a call."""


class EngineUntrustedError(EngineError, exit_code=4):
    """The certificate of the Docker Engine is not trusted."""


class BuildFailedError(FarmError):
    """A step of the Dockerfile failed; the message names the step and its exit status."""


class DiskFullError(FarmError, retryable=True):
    """The disk of the worker is full; pruning the build cache may free space."""


class DiskTooSmallError(DiskFullError, retryable=False):
    """A build filled the disk of the worker again, right after the build cache was pruned."""


class TemporaryFullError(FarmError, retryable=True):
    """The temporary directory is full; the farm does not delete files of others there."""


class ContextError(FarmError):
    """A build context is missing, damaged, or does not match its tag."""


class CacheError(FarmError):
    """The LinuxKit cache cannot be read or written, or its content is damaged."""


class CacheBusyError(CacheError, retryable=True):
    """Another process holds the lock of the cache, or removed a blob that was about to be tagged."""


class TrustError(FarmError, exit_code=4):
    """The signature could not be made, or is not valid."""


class TrustUnavailableError(TrustError, exit_code=3, retryable=True):
    """The notary server cannot be reached, or did not answer in time."""


class TrustDeniedError(TrustError):
    """The passphrase is wrong, the key is missing, or the notary server refused the login."""


class OrderError(TrustDeniedError):
    """A build order is not signed by a maintainer, has expired, or is not what was signed."""


class UnnamedBaseError(OrderError):
    """The builder does not say which image a base was, so that it cannot be the one of the order."""


class AttestationError(TrustDeniedError):
    """A statement about an image is malformed, or is not signed by a worker that may make it."""


class PolicyError(TrustDeniedError):
    """The policy does not allow it, or the policy's file is not safe to go by."""


class NotAllowedError(TrustDeniedError):
    """The commit may not be built: no maintainer signed it, and its branch is not protected."""


class TagOverwrittenError(TrustError):
    """A tag refers to something other than what is signed under it."""


class StateUnavailableError(FarmError, exit_code=3, retryable=True):
    """Redis, the broker and the state store, cannot be reached."""


class StateError(FarmError):
    """The run, package or worker does not exist, or its state does not allow the operation."""


class RunDamagedError(StateError):
    """Redis lost a part of the run; the message names it."""


class StateDeniedError(StateError, exit_code=4):
    """Redis refused the login or a command, or its certificate is not trusted."""


class LeaseLostError(FarmError):
    """Another holder has the lease now; the result of this one must not be recorded."""


class LeftToAnotherError(LeaseLostError):
    """Another worker must do the job."""


class CancelledError(FarmError):
    """The run was cancelled while this was in progress."""


class RunFailedError(FarmError):
    """A run ended with failed packages; each was reported when it failed."""


class RunInterruptedError(RunFailedError, retryable=True):
    """A run failed by what may pass, such as an outage; the same packages may succeed in another run."""
