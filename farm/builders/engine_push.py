"""Push an image from the engine to its registry, and take its tag out of the engine afterwards."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import docker.errors
from docker.auth import encode_header

from farm.builders.docker_engine import translate_engine_errors
from farm.builders.wait import Limit, watch
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
    from collections.abc import Callable

    from farm.builders.docker_engine import Engine
    from farm.model import Reference
    from farm.registry.credentials import Login

_OK = 200
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_DENIED = re.compile(
    r"denied|unauthorized|forbidden|authentication required|no basic auth|incorrect username", re.IGNORECASE
)
_GONE = re.compile(r"does not exist locally|no such image", re.IGNORECASE)
_UNAVAILABLE = re.compile(
    r"connection refused|connection reset|no such host|timeout|TLS handshake|\bEOF\b|toomanyrequests|"
    r"network is unreachable|no route to host|server misbehaving|\b(?:429|50[0-9])\b",
    re.IGNORECASE,
)
_WORTH_TELLING = re.compile(
    r"^(Pushed|Layer already exists|Mounted from|The push refers)|digest: sha256", re.IGNORECASE
)


def push(
    engine: Engine,
    reference: Reference,
    login: Login | None,
    *,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    timeout: float,
    silence: float = math.inf,
) -> str:
    """Push the image that the engine knows as NAME:TAG to that name.

    Args:
        engine: where the image is.
        reference: its name, with a tag.
        login: the account that pushes; None for a registry that asks for none.
        log: takes a line for each layer.
        cancelled: asked a few times a second whether to give up.
        timeout: seconds that the whole push may take.
        silence: seconds in which it must get further: the engine itself waits for a registry for ever.

    Returns:
        The digest of the manifest, sha256:...

    Raises:
        RegistryDeniedError: the registry refuses the login, or the login may not push there.
        RegistryUnavailableError: the registry cannot be reached, or cannot answer now.
        RegistryError: it refuses the image.
        EngineUnavailableError: the engine went away.
        CancelledError: the push was cancelled.
    """
    what = f"the push of {reference.familiar}"
    limit = Limit.of(
        what, cancelled=cancelled, timeout=timeout, too_long=RegistryUnavailableError, silence=silence
    )
    outcome = _PushResult(reference, log)
    with engine.connection() as answer:
        target = engine.target(f"/images/{reference.name}/push", [("tag", reference.tag or "latest")])
        answer.request("POST", target, [("X-Registry-Auth", _encoded(login))])
        for message in watch(answer, None, limit):
            outcome.take(message)
    return outcome.result(answer.status)


def is_image(engine: Engine, name: str, image: str) -> bool:
    """Whether the engine knows an image by its id under this name.

    Raises:
        EngineUnavailableError: the engine went away.
    """
    with translate_engine_errors(engine.url):
        return any(image == one["Id"] for one in engine.api.images(name))


def forget(engine: Engine, reference: Reference) -> None:
    """Take a tag out of the engine; the build cache keeps the layers. A tag that is not there is no error.

    Raises:
        EngineUnavailableError: the engine went away.
    """
    with translate_engine_errors(engine.url), suppress(docker.errors.NotFound):
        engine.api.remove_image(str(reference), force=True)


def _encoded(login: Login | None) -> str:
    """The value of X-Registry-Auth, which must be there even with nothing to say."""
    account = login.docker if login else {}
    value = encode_header(account)
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(slots=True)
class _PushResult:
    """What the messages of a push came to."""

    reference: Reference
    log: Callable[[str], None]
    digest: str = ""
    error: str = ""

    def take(self, message: dict[str, Any]) -> None:
        """Take one message of the engine's answer."""
        status, aux = message.get("status"), message.get("aux")
        if isinstance(text := message.get("error") or message.get("message"), str):
            self.error = text
        elif isinstance(aux, dict) and aux.get("Digest"):
            self.digest = str(aux["Digest"])
        elif isinstance(status, str) and _WORTH_TELLING.search(status):
            found = _DIGEST.search(status)
            self.digest = found[1] if found else self.digest
            self.log(readable(": ".join(filter(None, ("push", message.get("id"), status)))))

    def result(self, status: int) -> str:
        """The pushed digest.

        Raises:
            FarmError: why there is none.
        """
        if self.error or status != _OK:
            raise push_failure(self.reference, self.error or f"the engine answered with status {status}")
        if not self.digest:
            raise EngineUnavailableError(
                f"the Docker Engine broke off the push of {self.reference.familiar}",
                hint="see the log of dockerd",
            )
        return self.digest


def push_failure(reference: Reference, message: str, *, act: str = "push") -> FarmError:
    """The error that the engine's last words about a push, or about a pull, mean."""
    what, said = f"{act} of {reference.familiar}", readable(" ".join(message.split()))[:300]
    if "no space left" in message.lower():
        return DiskFullError(f"{what}: a disk is full: {said}")
    if _GONE.search(message):
        return EngineUnavailableError(f"{what}: the image is gone from the engine: {said}")
    if _DENIED.search(message):
        return RegistryDeniedError(
            f"{what}: {reference.registry} refuses it: {said}",
            hint=f"docker login {reference.registry}, as this user",
        )
    if _UNAVAILABLE.search(message):
        return RegistryUnavailableError(f"{what}: {reference.registry} cannot be reached: {said}")
    return RegistryError(f"{what}: {said}")
