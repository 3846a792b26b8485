"""What to sign, what to set up, and what tables and keys say: decided without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import TrustError
from farm.trust.notary.initialise import Collection, Step, StoredKey, delegated_keys, next_step
from farm.trust.notary.keys import key_id, notary_block, private_block
from farm.trust.notary.sign import SignTarget, unsigned
from farm.trust.notary.verify import Signed, SignedTargets, parse_list

GUN = "docker.io/linuxkit/foo"
A, B, C = "a" * 64, "b" * 64, "c" * 64
LISTING = f"""NAME  DIGEST      SIZE (BYTES)    ROLE
----  ------      ------------    ----
v1    {A}         528             targets/releases
v2    {B}         1048576         targets
v3    {C}         7               targets/alice
"""
DELEGATIONS = f"""
ROLE                PATHS             KEY IDS    THRESHOLD
----                -----             -------    ---------
targets/bob         a                 {A}    1
                    b
targets/releases    "" <all paths>    {B}    1
                                      {C}

"""
PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEb3m+qz3p4gwcy4wRhF0TG7InF6gq
hwW4mDDc9y+YwSXRgsNa6xqLjI9hzrIFtjCLXeLZnv0uUnQ5jSutbFYbCg==
-----END PUBLIC KEY-----
"""


def keys(*ids: str) -> list[StoredKey]:
    return [StoredKey(item, "targets", GUN, Path(f"{item}.key")) for item in ids]


def known(*, targets: str = A, snapshot: str = B, delegated: str = C) -> Collection:
    return Collection(frozenset({targets}), frozenset({snapshot}), frozenset({delegated}))


def test_a_listing_is_read_as_docker_believes_it() -> None:
    assert parse_list(LISTING, ("targets/releases", "targets")) == {
        "v1": Signed(f"sha256:{A}", 528, "targets/releases"),
        "v2": Signed(f"sha256:{B}", 1048576, "targets"),
    }


def test_an_empty_listing_has_no_tags() -> None:
    assert parse_list("\r\nNo targets present in this repository.\r\n", ("targets",)) == {}


def test_only_what_differs_is_signed() -> None:
    standing = SignedTargets(
        {tag: Signed(f"sha256:{A}", 7, "targets/releases") for tag in ("same", "digest", "size")}
    )
    same = SignTarget(GUN, "same", 7, A)
    differ = [SignTarget(GUN, "digest", 7, B), SignTarget(GUN, "size", 8, A), SignTarget(GUN, "new", 7, A)]
    assert unsigned([same, *differ], standing) == differ


def test_the_keys_of_each_delegation_are_told_apart() -> None:
    assert delegated_keys(DELEGATIONS, "targets/releases") == {B, C}
    assert delegated_keys(DELEGATIONS, "targets/bob") == {A}
    assert delegated_keys("\nNo delegations present in this repository.\n", "targets/bob") == set()


@pytest.mark.parametrize(
    ("collection", "stored", "step"),
    [
        (None, [], Step.CREATE),
        (None, keys(A), Step.CREATE),
        (known(), keys(A, B), Step.ROTATE),
        (known(delegated=B), keys(A), Step.DELEGATE),
        (known(), keys(A), None),
    ],
)
def test_the_next_step_is_what_is_still_missing(
    collection: Collection | None, stored: list[StoredKey], step: Step | None
) -> None:
    assert next_step(GUN, collection, stored, C) == step


def test_a_gun_of_other_keys_is_refused_with_the_key_to_look_for() -> None:
    with pytest.raises(TrustError, match="targets key aaaaaaa"):
        next_step(GUN, known(), keys(B), C)


def test_a_key_is_named_as_notary_names_it() -> None:
    assert key_id(PUBLIC) == "767389b22aa51d5299158e71f356e47df1f3e4b067c2b1987cce83acec010ba8"


@pytest.mark.parametrize("text", ["", "no key", PUBLIC.replace("KoZIzj0CAQ", "KoZIzj0CAA")])
def test_a_key_that_notary_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(TrustError):
        key_id(text)


def test_headers_of_notary_and_docker_are_taken_off_and_put_on() -> None:
    plain = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    marked = notary_block(plain, "targets/releases")
    assert "\nrole: targets/releases\n\nAAAA" in marked
    assert private_block(f"a comment\n{marked}") == plain


def test_the_headers_of_an_old_encrypted_key_stay() -> None:
    old = (
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n"
        "-----END EC PRIVATE KEY-----\n"
    )
    assert private_block(old) == old


def test_a_file_without_a_private_key_has_no_block() -> None:
    assert private_block(PUBLIC) is None
