"""The errors of the farm for what the notary client prints when it fails.

The client's exit status is 1 for every failure, so the text decides. It comes from client/errors.go,
storage/errors.go, storage/httpstore.go, tuf/signed/errors.go and trustpinning/certs.go in
https://github.com/theupdateframework/notary/tree/v0.7.0
"""

from __future__ import annotations

import re
from typing import NamedTuple

from farm.errors import TrustDeniedError, TrustError, TrustUnavailableError

UNKNOWN = re.compile(r"does not have trust data for")
"""The server has no trust data for the GUN."""
CONFLICT = re.compile(r"trust server rejected operation|could not rotate trust to a new trusted root")
"""The server rejected the publication, as it does when another client published first."""
_INCOMPLETE = re.compile(r"Error getting (?P<role>[^\s:\"]+): (?P<why>[^\r\n\"]*)")
_LONGEST_LINE, _LAST_LINES = 500, 50
"""What counts of the output: a server may have put more words into it than a pattern should search."""
_FATAL = re.compile(r"\* fatal: (.*)")


class Failure(NamedTuple):
    """A kind of failure: the output by which it is recognised, its error, and the remedy."""

    pattern: str
    """Compiled only when something has failed; its groups, {gun} and {server} may occur in the message."""
    kind: type[TrustError]
    message: str
    hint: str | None = None


# The first match counts, so a cause comes before its consequences.
_FAILURES = (
    Failure(
        r"x509: (?P<why>certificate has expired[^\r\n\"]*)",
        TrustUnavailableError,
        "the certificate of {server} cannot be used: {why}",
        "renew the certificate of the notary server, or set the clock of this machine",
    ),
    Failure(
        r"x509: (?P<why>[^\r\n\"]*)",
        TrustError,
        "the certificate of {server} is not trusted: {why}",
        "name the CA that issued it with notary-ca",
    ),
    Failure(
        r"could not read CA certificate|unable to configure TLS",
        TrustError,
        "the CA certificate for {server} cannot be read",
        "notary-ca must name a PEM file",
    ),
    Failure(
        r"fatal: unauthorized|not authorized|fatal: denied|could not reach \S+: 40[13]\b",
        TrustDeniedError,
        "{server} refuses the login for {gun}",
        "log in to the registry with an account that may push there",
    ),
    Failure(
        r"(?<!\S)(?P<role>\S+) expired at (?P<when>[^\r\n\"]*)",
        TrustError,
        "the {role} metadata of {gun} expired at {when}",
        "the holder of that key must sign again; for timestamp and snapshot that is the notary server",
    ),
    Failure(
        r"could not find necessary signing keys|password invalid|Passphrase incorrect",
        TrustDeniedError,
        "the key is not allowed to sign for {gun}, or its passphrase is wrong",
        "the administrator allows a key with `farm trust init`",
    ),
    Failure(
        r"delegation does not exist|invalid role (?P<role>\S+)",
        TrustError,
        "{gun} has no delegation, so no key may sign for it",
        "the administrator allows one with `farm trust init`",
    ),
    Failure(
        UNKNOWN.pattern,
        TrustError,
        "{gun} is not initialised on {server}",
        "the administrator does it once with `farm trust init`",
    ),
    Failure(
        r"fatal: (?P<role>[^\s.]+)\S* trust data unavailable",
        TrustError,
        "{server} lacks the {role} metadata of {gun} that its own metadata refers to",
        "the administrator of the server must restore it",
    ),
    Failure(
        r"could not reach \S+: (?:Get \\?\"[^\"]*\": )?(?P<why>[^\r\n\"]*)",
        TrustUnavailableError,
        "{server} cannot be reached: {why}",
    ),
    Failure(
        r"fatal: (?:[^\r\n]*: )?(?P<why>(?:unexpected )?EOF|connection reset by peer|[^\r\n:]*timeout)",
        TrustUnavailableError,
        "{server} closed the connection: {why}",
    ),
    Failure(
        r"client is offline|unable to reach trust server[^\r\n\"]*",
        TrustUnavailableError,
        "{server} cannot be reached",
    ),
    Failure(
        CONFLICT.pattern,
        TrustUnavailableError,
        "{server} rejects what was published for {gun}",
        "another client may be publishing there; the server's log has the reason",
    ),
)


def error_of(output: str, gun: str, server: str) -> TrustError:
    """The error for a failed run of the client; `output` has both its streams."""
    output = "\n".join(line[:_LONGEST_LINE] for line in output.splitlines()[-_LAST_LINES:])
    for failure in _FAILURES:
        match = re.search(failure.pattern, output)
        if match:
            names = {key: (value or "").rstrip("\\ ") for key, value in match.groupdict().items()}
            message = failure.message.format(gun=gun, server=server, **names)
            return failure.kind(message, hint=failure.hint)
    fatal = _FATAL.findall(output)
    said = (fatal or output.split("\n") or [""])[-1].strip() or "it printed nothing"
    return TrustError(f"notary failed on {gun}: {said}")


def incomplete_roles(output: str) -> dict[str, str]:
    """The roles that a successful listing leaves out, and why.

    An expired delegation is only a warning to the client, which ends with exit status 0:
    https://github.com/theupdateframework/notary/blob/v0.7.0/client/tufclient.go (downloadTargets)
    """
    return {match["role"]: match["why"].strip() for match in _INCOMPLETE.finditer(output)}
