"""The output of notary 0.7 becomes the right error with a one-line message."""

from __future__ import annotations

import pytest

from farm.errors import TrustDeniedError, TrustError, TrustUnavailableError
from farm.trust.notary.failures import CONFLICT, UNKNOWN, error_of, incomplete_roles

GUN = "docker.io/linuxkit/foo"
SERVER = "https://notary.example"
GET = f'Get "{SERVER}/v2/":'
OFFLINE = "\r\n* fatal: client is offline\r\n"


def reach(why: str) -> str:
    return f"\x1b[31mERRO\x1b[0m[0000] could not reach {SERVER}: {why} {OFFLINE}"


MESSAGES: dict[type[TrustError], dict[str, str]] = {
    TrustUnavailableError: {
        reach(
            f"{GET} dial tcp: connection refused"
        ): f"{SERVER} cannot be reached: dial tcp: connection refused",
        reach("503"): "cannot be reached: 503",
        "* fatal: EOF": f"{SERVER} closed the connection: EOF",
        OFFLINE: "cannot be reached",
        "* fatal: unable to reach trust server at this time: 500.": "cannot be reached",
        reach(f"{GET} x509: certificate has expired or is not yet valid"): "certificate has expired",
        "* fatal: trust server rejected operation.": "rejects what was published",
    },
    TrustDeniedError: {
        reach("403"): "refuses the login",
        "* fatal: unauthorized: authentication required": "refuses the login",
        "* fatal: you are not authorized to perform this operation: server returned": "refuses the login",
        "* fatal: could not find necessary signing keys, at least one of these must be available: 7673": (
            f"allowed to sign for {GUN}"
        ),
        "Passphrase incorrect. Please retry.\r\n* fatal: password invalid, operation": "passphrase is wrong",
    },
    TrustError: {
        reach(f"{GET} x509: certificate signed by unknown authority"): "signed by unknown authority",
        '* fatal: unable to configure TLS: could not read CA certificate "x"': "notary-ca",
        "* fatal: tuf: invalid role targets/releases. delegation does not exist": "farm trust init",
        f"* fatal: {SERVER} does not have trust data for {GUN}": "is not initialised",
        "* fatal: timestamp expired at Tue Nov 24 09:26:16 UTC 2026": (
            f"the timestamp metadata of {GUN} expired at Tue Nov 24"
        ),
        "* fatal: targets/releases.78e7 trust data unavailable.  Has a notary repository been": (
            "lacks the targets/releases metadata"
        ),
        "* fatal: something new\r\n": f"notary failed on {GUN}: something new",
        "": "it printed nothing",
    },
}
"""What notary prints, and a part of the message that it becomes."""


@pytest.mark.parametrize(
    ("kind", "output", "message"),
    [(kind, *case) for kind, cases in MESSAGES.items() for case in cases.items()],
)
def test_each_failure_has_its_message_and_only_an_unavailable_server_is_worth_a_retry(
    kind: type[TrustError], output: str, message: str
) -> None:
    error = error_of(output, GUN, SERVER)
    assert type(error) is kind
    assert error.retryable is (kind is TrustUnavailableError)
    assert message in str(error)
    assert "\x1b" not in str(error)
    assert "\r" not in str(error)


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
