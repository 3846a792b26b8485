"""Signing against a real notary server."""

from __future__ import annotations

import dataclasses
import hashlib
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustDeniedError, TrustError, TrustUnavailableError
from farm.model import Reference
from farm.settings import Secret
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.directory import locked
from farm.trust.notary.keys import SigningKey, check_key
from farm.trust.notary.sign import SignTarget, sign, sign_all
from farm.trust.notary.verify import require_initialised, signed_digests, verify

if TYPE_CHECKING:
    from farm.trust.notary.client import NotaryServer
    from tests.integration.trust.conftest import NewGun

TIMEOUT = 60.0


def target(gun: str, tag: str = "v1", content: str = "index") -> SignTarget:
    return SignTarget(gun, tag, len(content), hashlib.sha256(content.encode()).hexdigest())


def digests(gun: str, server: NotaryServer) -> dict[str, str]:
    found = signed_digests([gun], server, timeout=TIMEOUT)[gun]
    return {tag: signed.digest for tag, signed in found.items()}


def test_a_signed_tag_is_verified_by_somebody_who_has_never_seen_it(
    gun: str, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    sign(target(gun), key, server, timeout=TIMEOUT)
    elsewhere = dataclasses.replace(server, work=tmp_path / "elsewhere")
    wanted = target(gun)
    verify(Reference.parse(f"{gun}:v1"), wanted.digest, wanted.size, elsewhere, timeout=TIMEOUT)


def test_many_tags_of_one_gun_are_signed_by_one_call(gun: str, key: SigningKey, server: NotaryServer) -> None:
    targets = [target(gun, f"v{number}", f"index {number}") for number in range(5)]
    assert sign_all(targets, key, server, timeout=TIMEOUT) == {}
    assert digests(gun, server) == {item.tag: item.digest for item in targets}


def test_signing_again_changes_nothing_on_the_server(gun: str, key: SigningKey, server: NotaryServer) -> None:
    sign(target(gun), key, server, timeout=TIMEOUT)
    useless = SigningKey(Path("/nonexistent"), None)
    assert sign(target(gun), useless, server, timeout=TIMEOUT) is None


def test_a_tag_that_was_rebuilt_is_signed_anew_and_the_old_digest_is_told(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    old, new = target(gun), target(gun, content="rebuilt")
    sign(old, key, server, timeout=TIMEOUT)
    replaced = sign(new, key, server, timeout=TIMEOUT)
    assert replaced is not None
    assert (replaced.digest, replaced.size) == (old.digest, old.size)
    assert digests(gun, server) == {"v1": new.digest}


def test_a_tag_is_not_signed_anew_when_the_caller_forbids_it(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    old, new = target(gun), target(gun, content="rebuilt")
    sign(old, key, server, timeout=TIMEOUT)
    with pytest.raises(TrustError, match="signed already"):
        sign(new, key, server, timeout=TIMEOUT, replace=False)
    assert digests(gun, server) == {"v1": old.digest}


def test_a_wrong_size_is_put_right(gun: str, key: SigningKey, server: NotaryServer) -> None:
    wrong = dataclasses.replace(target(gun), size=1)
    sign(wrong, key, server, timeout=TIMEOUT)
    sign(target(gun), key, server, timeout=TIMEOUT)
    wanted = target(gun)
    verify(Reference.parse(f"{gun}:v1"), wanted.digest, wanted.size, server, timeout=TIMEOUT)


def test_a_wrong_passphrase_says_so_changes_nothing_and_is_not_shown(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    sign(target(gun), key, server, timeout=TIMEOUT)
    wrong = dataclasses.replace(key, passphrase=Secret("not-the-passphrase"))
    with pytest.raises(TrustDeniedError, match="passphrase of the signing key is wrong") as caught:
        sign(target(gun, "v2"), wrong, server, timeout=TIMEOUT)
    assert "not-the-passphrase" not in "".join(traceback.format_exception(caught.value))
    assert digests(gun, server) == {"v1": target(gun).digest}


def test_an_encrypted_key_without_a_passphrase_names_the_settings(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    with pytest.raises(TrustDeniedError, match="FARM_SIGNING_PASSPHRASE"):
        sign(target(gun), dataclasses.replace(key, passphrase=None), server, timeout=TIMEOUT)


def test_a_key_that_nobody_allowed_is_refused(gun: str, server: NotaryServer, tmp_path: Path) -> None:
    passphrase = Secret("long enough to be taken")
    made = generate_delegation_key(tmp_path / "other", passphrase)
    with pytest.raises(TrustDeniedError, match="no key at hand may sign"):
        sign(target(gun), SigningKey(made.key, passphrase), server, timeout=TIMEOUT)
    assert digests(gun, server) == {}


def test_a_gun_that_nobody_initialised_is_refused_and_stays_uninitialised(
    new_gun: NewGun, key: SigningKey, server: NotaryServer
) -> None:
    gun = new_gun()
    for _ in range(2):
        with pytest.raises(TrustError, match=f"farm trust init {gun}"):
            sign(target(gun), key, server, timeout=TIMEOUT)


def test_what_would_keep_a_tag_from_being_signed_is_found_before_it_is_built(
    gun: str, new_gun: NewGun, key: SigningKey, server: NotaryServer
) -> None:
    check_key(key, timeout=TIMEOUT)
    require_initialised(gun, server, timeout=TIMEOUT)
    with pytest.raises(TrustDeniedError, match="passphrase of the signing key is wrong"):
        check_key(dataclasses.replace(key, passphrase=Secret("wrong")), timeout=TIMEOUT)
    with pytest.raises(TrustDeniedError, match="cannot be read"):
        check_key(dataclasses.replace(key, path=Path("/nonexistent")), timeout=TIMEOUT)
    with pytest.raises(TrustError, match="farm trust init"):
        require_initialised(new_gun(), server, timeout=TIMEOUT)


def test_different_guns_are_signed_at_the_same_time(
    make_gun: NewGun, key: SigningKey, server: NotaryServer
) -> None:
    guns = [make_gun() for _ in range(6)]
    with ThreadPoolExecutor(len(guns)) as threads:
        list(threads.map(lambda gun: sign(target(gun), key, server, timeout=TIMEOUT), guns))
    found = signed_digests(guns, server, timeout=TIMEOUT)
    assert {gun: found[gun]["v1"].digest for gun in guns} == {gun: target(gun).digest for gun in guns}


def test_under_the_callers_lock_signers_of_one_gun_lose_nothing(
    gun: str, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    targets = [target(gun, f"v{number}") for number in range(6)]

    def locked_sign(item: SignTarget) -> None:
        with locked(tmp_path / "gun.lock", Deadline.after(TIMEOUT, "waiting for the GUN")):
            sign(item, key, server, timeout=TIMEOUT)

    with ThreadPoolExecutor(len(targets)) as threads:
        list(threads.map(locked_sign, targets))
    assert digests(gun, server) == {item.tag: item.digest for item in targets}


def test_without_a_lock_what_returned_is_signed_and_the_rest_may_be_tried_again(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    targets = [target(gun, f"v{number}") for number in range(4)]

    def signed(item: SignTarget) -> bool:
        try:
            sign(item, key, server, timeout=TIMEOUT)
        except TrustUnavailableError as error:
            assert error.retryable  # noqa: PT017 - the error is one of two right outcomes
            return False
        return True

    with ThreadPoolExecutor(len(targets)) as threads:
        outcomes = list(threads.map(signed, targets))
    returned = {item.tag for item, done in zip(targets, outcomes, strict=True) if done}
    assert returned
    assert returned <= digests(gun, server).keys()
