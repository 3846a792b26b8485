"""What the notary client prints when it fails, told as errors of the farm."""

from __future__ import annotations

import re
from dataclasses import dataclass

from farm.errors import TrustDeniedError, TrustError, TrustUnavailableError

_UNKNOWN = re.compile(r"does not have trust data for")
_CONFLICT = re.compile(r"trust server rejected operation|could not rotate trust to a new trusted root")
_INCOMPLETE = re.compile(r"Error getting (?P<role>[^\s:\"]+): (?P<why>[^\r\n\"]*)")
_FATAL = re.compile(r"\* fatal: (.*)")


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail: how it is recognised, what it means, and what to do about it.

    `message` and `hint` may name {gun}, {server}, and the groups of the pattern.
    """

    pattern: re.Pattern[str]
    kind: type[TrustError]
    message: str
    hint: str | None = None


# The first match counts, so the cause stands before what follows from it.
_FAILURES = (
    Failure(
        re.compile(r"x509: (?P<why>certificate has expired[^\r\n\"]*)"),
        TrustUnavailableError,
        "the certificate of {server} cannot be used: {why}",
        "renew the certificate of the notary server, or set the clock of this machine",
    ),
    Failure(
        re.compile(r"x509: (?P<why>[^\r\n\"]*)"),
        TrustError,
        "the certificate of {server} is not trusted: {why}",
        "name the CA that issued it with notary-ca",
    ),
    Failure(
        re.compile(r"could not read CA certificate|unable to configure TLS"),
        TrustError,
        "the CA certificate for {server} cannot be read",
        "notary-ca must name a PEM file",
    ),
    Failure(
        re.compile(r"fatal: unauthorized|not authorized|fatal: denied|could not reach \S+: 40[13]\b"),
        TrustDeniedError,
        "{server} refuses the login for {gun}",
        "log in to the registry with an account that may push there",
    ),
    Failure(
        re.compile(r"(?P<role>\S+) expired at (?P<when>[^\r\n\"]*)"),
        TrustError,
        "the {role} metadata of {gun} expired at {when}",
        "whoever holds that key must sign again; for timestamp and snapshot that is the notary server",
    ),
    Failure(
        re.compile(r"could not find necessary signing keys|password invalid|Passphrase incorrect"),
        TrustDeniedError,
        "no key at hand may sign for {gun}, or its passphrase is wrong",
        "the administrator allows a key with `farm trust init`",
    ),
    Failure(
        re.compile(r"delegation does not exist|invalid role (?P<role>\S+)"),
        TrustError,
        "{gun} allows no delegation key to sign",
        "the administrator allows one with `farm trust init`",
    ),
    Failure(
        _UNKNOWN,
        TrustError,
        "{gun} is not initialised on {server}",
        "the administrator does it once with `farm trust init`",
    ),
    Failure(
        re.compile(r"fatal: (?P<role>[^\s.]+)\S* trust data unavailable"),
        TrustError,
        "{server} does not hold the {role} metadata of {gun} that it speaks of",
        "the server's administrator must restore it",
    ),
    Failure(
        re.compile(r"could not reach \S+: (?:Get \\?\"[^\"]*\": )?(?P<why>[^\r\n\"]*)"),
        TrustUnavailableError,
        "{server} cannot be reached: {why}",
    ),
    Failure(
        re.compile(
            r"fatal: (?:[^\r\n]*: )?(?P<why>(?:unexpected )?EOF|connection reset by peer|[^\r\n:]*timeout)"
        ),
        TrustUnavailableError,
        "{server} broke off: {why}",
    ),
    Failure(
        re.compile(r"client is offline|unable to reach trust server[^\r\n\"]*"),
        TrustUnavailableError,
        "{server} cannot be reached",
    ),
    Failure(
        _CONFLICT,
        TrustUnavailableError,
        "{server} rejects what was published for {gun}",
        "another client may publish there at the same time; the server's log has the reason",
    ),
)


def error_of(output: str, gun: str, server: str) -> TrustError:
    """The error that a failed notary run stands for.

    Args:
        output: all that the client printed, both streams.
        gun: the trusted collection it was about.
        server: URL of the notary server.
    """
    for failure in _FAILURES:
        found = failure.pattern.search(output)
        if found:
            names = {key: (value or "").rstrip("\\ ") for key, value in found.groupdict().items()}
            message = failure.message.format(gun=gun, server=server, **names)
            return failure.kind(message, hint=failure.hint)
    fatal = _FATAL.findall(output)
    said = (fatal or output.split("\n") or [""])[-1].strip() or "it printed nothing"
    return TrustError(f"notary failed on {gun}: {said}")


def is_unknown(output: str) -> bool:
    """Whether the server said that it holds no trust data for the GUN."""
    return bool(_UNKNOWN.search(output))


def is_conflict(output: str) -> bool:
    """Whether the server rejected the publication, as it does when another client came first."""
    return bool(_CONFLICT.search(output))


def incomplete_roles(output: str) -> dict[str, str]:
    """The roles that a successful listing silently left out, and why.

    Notary lists what it could get with exit status 0; an expired delegation is a mere warning to it.
    """
    return {found["role"]: found["why"].strip() for found in _INCOMPLETE.finditer(output)}
