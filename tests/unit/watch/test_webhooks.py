"""A webhook counts only with the forge's signature; the values are from the forges' documentation."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from farm.settings import Secret
from farm.watch.forge import ForgeKind
from farm.watch.webhooks import is_genuine

SECRET = Secret("It's a Secret to Everybody")
BODY = b"Hello, World!"
# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
SIGNATURE = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
GENUINE = {
    ForgeKind.GITHUB: ("X-Hub-Signature-256", f"sha256={SIGNATURE}"),
    ForgeKind.GITEA: ("X-Gitea-Signature", SIGNATURE),
    ForgeKind.GITLAB: ("X-Gitlab-Token", SECRET.reveal()),
}


def genuine(kind: ForgeKind, headers: dict[str, str], body: bytes = BODY) -> bool:
    return is_genuine(kind, headers, hmac.new(SECRET.reveal().encode(), body, hashlib.sha256), SECRET)


@pytest.mark.parametrize("kind", ForgeKind)
def test_what_the_forge_signed_is_genuine(kind: ForgeKind) -> None:
    name, value = GENUINE[kind]
    assert genuine(kind, {name: value})


@pytest.mark.parametrize("kind", ForgeKind)
@pytest.mark.parametrize("value", ["", "sha256=", "é", "0" * 64])
def test_what_another_signed_is_not(kind: ForgeKind, value: str) -> None:
    name, _ = GENUINE[kind]
    assert not genuine(kind, {name: value})
    assert not genuine(kind, {})


@pytest.mark.parametrize("kind", ForgeKind)
def test_the_header_of_another_forge_does_not_count(kind: ForgeKind) -> None:
    others = dict(GENUINE[other] for other in ForgeKind if other is not kind)
    assert not genuine(kind, others)


@pytest.mark.parametrize("kind", [ForgeKind.GITHUB, ForgeKind.GITEA])
def test_a_signature_of_another_body_does_not_count(kind: ForgeKind) -> None:
    name, value = GENUINE[kind]
    assert not genuine(kind, {name: value}, b"Hello, World?")
