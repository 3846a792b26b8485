"""Push an image from the engine to its registry.

https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImagePush/
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.builders.failures import push_failure
from farm.builders.message_stream import Limits, stream_messages
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
    engine: Engine, reference: Reference, login: Login | None, control: Control, *, silence: float
) -> str:
    """Push the image that the engine knows as NAME:TAG to that name, as `Builder.push` demands.

    The engine itself has no limit like `silence`.
    """
    work = f"the push of {reference.familiar}"
    limits = Limits.start(work, control, RegistryUnavailableError, silence=silence)
    result = _PushResult(reference, control.log)
    with engine.connection() as response:
        target = engine.target(f"/images/{reference.name}/push", [("tag", reference.tag or "latest")])
        # The engine demands this header even for an anonymous push.
        account = base64.urlsafe_b64encode(json.dumps(login.docker if login else {}).encode())
        response.request("POST", target, [("X-Registry-Auth", account.decode())])
        for message in stream_messages(response, limits.check):
            result.take(message)
    result.check(response.status)
    return result.pushed


@dataclass(slots=True)
class _PushResult:
    reference: Reference
    log: Callable[[str], None]
    pushed: str = ""
    """The digest that the engine names after it was pushed."""
    error: str = ""

    def take(self, message: dict[str, Any]) -> None:
        """Process one message."""
        status, aux = message.get("status"), message.get("aux")
        if isinstance(text := message.get("error") or message.get("message"), str):
            self.error = text
        elif isinstance(aux, dict) and aux.get("Digest"):
            self.pushed = str(aux["Digest"])
        elif isinstance(status, str) and _LOGGED.search(status):
            named = _DIGEST.search(status)
            self.pushed = named[1] if named else self.pushed
            self.log(readable(": ".join(filter(None, ("push", message.get("id"), status)))))

    def check(self, status: int) -> None:
        """Raise unless the image was pushed."""
        if self.error or status != _OK:
            raise push_failure(self.reference, self.error or f"the engine answered with status {status}")
        if not self.pushed:
            raise EngineUnavailableError(
                f"the Docker Engine ended the push of {self.reference.familiar} without a result",
                hint="see the log of dockerd",
            )
