"""Push an image from the engine to its registry.

https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImagePush/
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from docker.auth import encode_header

from farm.builders.message_stream import Limits, stream_messages
from farm.builders.push_failures import push_failure
from farm.buildkit.progress import readable
from farm.errors import EngineUnavailableError, RegistryUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.builders.builder import Control
    from farm.builders.docker_engine import Engine
    from farm.model import Reference
    from farm.registry.credentials import Login

_OK = 200
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_LOGGED = re.compile(
    r"^(Pushed|Layer already exists|Mounted from|The push refers)|digest: sha256", re.IGNORECASE
)
"""The messages for the log; the others are progress bars."""


def push(
    engine: Engine, reference: Reference, login: Login | None, control: Control, *, silence: float = math.inf
) -> str:
    """Push the image that the engine knows as NAME:TAG to that name; return its digest, sha256:...

    Args:
        engine: where the image is.
        reference: its name, with a tag.
        login: the account that pushes; None for a registry that needs none.
        control: how to follow and stop the push.
        silence: seconds that the push may make no progress; the engine itself has no such limit.

    Raises:
        FarmError: see `Builder.push`.
    """
    work = f"the push of {reference.familiar}"
    limits = Limits.start(work, control, RegistryUnavailableError, silence=silence)
    result = _PushResult(reference, control.log)
    with engine.connection() as response:
        target = engine.target(f"/images/{reference.name}/push", [("tag", reference.tag or "latest")])
        response.request("POST", target, [("X-Registry-Auth", _encoded(login))])
        for message in stream_messages(response, limits.check):
            result.take(message)
    return result.digest_of(response.status)


def _encoded(login: Login | None) -> str:
    """The value of X-Registry-Auth, which the engine demands even for an anonymous push."""
    value = encode_header(login.docker if login else {})
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(slots=True)
class _PushResult:
    """The result of a push, from the messages of the engine's response."""

    reference: Reference
    log: Callable[[str], None]
    digest: str = ""
    error: str = ""

    def take(self, message: dict[str, Any]) -> None:
        """Process one message."""
        status, aux = message.get("status"), message.get("aux")
        if isinstance(text := message.get("error") or message.get("message"), str):
            self.error = text
        elif isinstance(aux, dict) and aux.get("Digest"):
            self.digest = str(aux["Digest"])
        elif isinstance(status, str) and _LOGGED.search(status):
            digest = _DIGEST.search(status)
            self.digest = digest[1] if digest else self.digest
            self.log(readable(": ".join(filter(None, ("push", message.get("id"), status)))))

    def digest_of(self, status: int) -> str:
        """Return the digest that was pushed.

        Raises:
            FarmError: the push failed.
        """
        if self.error or status != _OK:
            raise push_failure(self.reference, self.error or f"the engine answered with status {status}")
        if not self.digest:
            raise EngineUnavailableError(
                f"the Docker Engine ended the push of {self.reference.familiar} without a result",
                hint="see the log of dockerd",
            )
        return self.digest
