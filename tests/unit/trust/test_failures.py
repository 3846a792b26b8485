"""The output of notary 0.7 becomes the right error with a one-line message."""

from __future__ import annotations

import pytest

from farm.errors import TrustDeniedError, TrustError, TrustUnavailableError
from farm.trust.notary.failures import CONFLICT, UNKNOWN, error_of, incomplete_roles

GUN = "docker.io/linuxkit/foo"
SERVER = "https://notary.example"
OFFLINE = "\r\n* fatal: client is offline\r\n"


def reach(why: str) -> str:
    return f"\x1b[31mERRO\x1b[0m[0000] could not reach {SERVER}: {why} {OFFLINE}"


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        (
            reach(f'Get "{SERVER}/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
            TrustUnavailableError,
            f"{SERVER} cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (reach("503"), TrustUnavailableError, "cannot be reached: 503"),
        ("* fatal: EOF", TrustUnavailableError, f"{SERVER} closed the connection: EOF"),
        (OFFLINE, TrustUnavailableError, "cannot be reached"),
        (
            "* fatal: unable to reach trust server at this time: 500.",
            TrustUnavailableError,
            "cannot be reached",
        ),
        (
            reach(f'Get "{SERVER}/v2/": x509: certificate has expired or is not yet valid'),
            TrustUnavailableError,
            "certificate has expired",
        ),
        (
            reach(f'Get "{SERVER}/v2/": x509: certificate signed by unknown authority'),
            TrustError,
            "certificate signed by unknown authority",
        ),
        ('* fatal: unable to configure TLS: could not read CA certificate "x"', TrustError, "notary-ca"),
        (reach("403"), TrustDeniedError, "refuses the login"),
        ("* fatal: unauthorized: authentication required", TrustDeniedError, "refuses the login"),
        (
            "* fatal: you are not authorized to perform this operation: server returned 401.",
            TrustDeniedError,
            "refuses the login",
        ),
        (
            "* fatal: could not find necessary signing keys, at least one of these must be available: 7673",
            TrustDeniedError,
            "allowed to sign for docker.io/linuxkit/foo",
        ),
        (
            "Passphrase incorrect. Please retry.\r\n* fatal: password invalid, operation has failed.",
            TrustDeniedError,
            "passphrase is wrong",
        ),
        (
            "* fatal: tuf: invalid role targets/releases. delegation does not exist",
            TrustError,
            "farm trust init",
        ),
        (f"* fatal: {SERVER} does not have trust data for {GUN}", TrustError, "is not initialised"),
        (
            "* fatal: timestamp expired at Tue Nov 24 09:26:16 UTC 2026",
            TrustError,
            "the timestamp metadata of docker.io/linuxkit/foo expired at Tue Nov 24",
        ),
        ("* fatal: trust server rejected operation.", TrustUnavailableError, "rejects what was published"),
        (
            "* fatal: targets/releases.78e7 trust data unavailable.  Has a notary repository been",
            TrustError,
            "lacks the targets/releases metadata",
        ),
        ("* fatal: something new\r\n", TrustError, "notary failed on docker.io/linuxkit/foo: something new"),
        ("", TrustError, "it printed nothing"),
    ],
)
def test_each_failure_has_its_error_and_message(output: str, kind: type[TrustError], message: str) -> None:
    error = error_of(output, GUN, SERVER)
    assert type(error) is kind
    assert message in str(error)
    assert "\x1b" not in str(error)
    assert "\r" not in str(error)


def test_only_an_unavailable_server_is_worth_a_retry() -> None:
    assert error_of(reach("503"), GUN, SERVER).retryable
    assert not error_of("* fatal: unauthorized: no", GUN, SERVER).retryable


def test_a_lost_race_and_an_unknown_gun_are_recognised() -> None:
    assert CONFLICT.search("* fatal: trust server rejected operation.")
    assert not CONFLICT.search(OFFLINE)
    assert UNKNOWN.search(f"* fatal: {SERVER} does not have trust data for {GUN}")
    assert not UNKNOWN.search(OFFLINE)


def test_a_role_that_a_listing_left_out_is_noticed() -> None:
    output = (
        "\x1b[31mERRO\x1b[0m[0000] Metadata for targets/releases expired        \r\n"
        "\x1b[33mWARN\x1b[0m[0000] Error getting targets/releases: targets/releases expired at Tue 24 \r\n"
        "\r\nNo targets present in this repository.\r\n"
    )
    assert incomplete_roles(output) == {"targets/releases": "targets/releases expired at Tue 24"}
    assert incomplete_roles("\r\nNo targets present in this repository.\r\n") == {}
