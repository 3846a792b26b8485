"""Keys that the cosign program reaches: in a KMS, on a token (PKCS#11), in a Kubernetes secret."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from farm.errors import TrustDeniedError, TrustUnavailableError
from farm.settings import cosign_environment
from farm.system.processes import DIE_WITH_PARENT, TIE_PROGRAM, excerpt, run
from farm.system.programs import require
from farm.trust.cosign.keys import PublicKey

if TYPE_CHECKING:
    from farm.settings import Secret

_STDERR_SHOWN = 200
"""Characters of standard error in a message."""
WITHOUT_LOG = ("--tlog-upload=false", "--yes")
"""No entry in the public log, and no question whether to make one."""


@dataclass(frozen=True)
class ProgramKey:
    """A key that only the cosign program reaches: it is named by a URI, as for `cosign sign --key`."""

    uri: str
    passphrase: Secret | None
    timeout: float

    @cached_property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey.parse(self._run(["public-key", "--key", self.uri]), self.uri)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message: https://github.com/sigstore/cosign/blob/v2.5.0/doc/cosign_sign-blob.md."""
        signature = self._run(["sign-blob", "--key", self.uri, *WITHOUT_LOG, "-"], message)
        try:
            return base64.b64decode(signature.strip(), validate=True)
        except binascii.Error:
            raise TrustDeniedError(f"cosign printed no signature with the key {self.uri}") from None

    def _run(self, arguments: list[str], given: bytes = b"") -> bytes:
        require("cosign", *TIE_PROGRAM)
        late = TrustUnavailableError(
            f"cosign did not end within {self.timeout:g} s with the key {self.uri}",
            hint="check that the key's service answers, or raise trust-timeout",
        )
        command = [*DIE_WITH_PARENT, "cosign", *arguments]
        variables = cosign_environment(self.passphrase)
        # In a session of its own it has no terminal, so that it cannot wait for a passphrase.
        done = run(
            command, timeout=self.timeout, late=late, given=given, environment=variables, own_session=True
        )
        if done.returncode == 0:
            return done.stdout
        said = re.sub(r"error during command execution:.*", "", excerpt(done.stderr, _STDERR_SHOWN))
        raise TrustDeniedError(
            f"cosign cannot use the key {self.uri}: {said.strip() or 'it printed no error'}"
        )
