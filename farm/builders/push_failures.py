"""Why a push or a pull by the engine failed, in one sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farm.buildkit.progress import readable
from farm.errors import (
    DiskFullError,
    EngineUnavailableError,
    FarmError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
)

if TYPE_CHECKING:
    from farm.model import Reference

_LONGEST_QUOTE = 300
_DENIED = re.compile(
    r"denied|unauthorized|forbidden|authentication required|no basic auth|incorrect username", re.IGNORECASE
)
_GONE = re.compile(r"does not exist locally|no such image", re.IGNORECASE)
_UNAVAILABLE = re.compile(
    r"connection refused|connection reset|no such host|timeout|TLS handshake|\bEOF\b|toomanyrequests|"
    r"network is unreachable|no route to host|server misbehaving|\b(?:429|50[0-9])\b",
    re.IGNORECASE,
)


def push_failure(reference: Reference, message: str, *, action: str = "push") -> FarmError:
    """Return the error that the engine's message about a failed push or pull means."""
    what, quote = f"{action} of {reference.familiar}", readable(" ".join(message.split()))[:_LONGEST_QUOTE]
    if "no space left" in message.lower():
        return DiskFullError(f"{what}: disk full: {quote}")
    if _GONE.search(message):
        return EngineUnavailableError(f"{what}: the image is gone from the engine: {quote}")
    if _DENIED.search(message):
        return RegistryDeniedError(
            f"{what}: access denied by {reference.registry}: {quote}",
            hint=f"docker login {reference.registry}, as this user",
        )
    if _UNAVAILABLE.search(message):
        return RegistryUnavailableError(f"{what}: {reference.registry} cannot be reached: {quote}")
    return RegistryError(f"{what}: {quote}")
