"""Signing against a real notary server."""

from __future__ import annotations

import dataclasses
import hashlib
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import TrustDeniedError, TrustError, TrustUnavailableError
from farm.settings import Secret, Settings
from farm.trust.choice import make_signer
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.directory import locked
from farm.trust.notary.keys import SigningKey, check_key
from farm.trust.notary.sign_targets import sign_targets
from farm.trust.notary.verify import read_signatures, require_initialised
from farm.trust.signer import Signature, SignTarget

if TYPE_CHECKING:
    from farm.trust.notary.client import NotaryServer
    from tests.integration.trust.conftest import NewGun

TIMEOUT = 60.0


def target(gun: str, tag: str = "v1", content: str = "index") -> SignTarget:
    return SignTarget(gun, tag, f"sha256:{hashlib.sha256(content.encode()).hexdigest()}", len(content))


def signature(of: SignTarget) -> Signature:
    return Signature(of.digest, of.size, "targets/releases")


def signatures(gun: str, server: NotaryServer) -> dict[str, Signature]:
    return read_signatures([gun], server, timeout=TIMEOUT)[gun]


def digests(gun: str, server: NotaryServer) -> dict[str, str]:
    return {tag: signed.digest for tag, signed in signatures(gun, server).items()}


def test_a_signed_tag_can_be_verified_from_an_empty_trust_directory(
    gun: str, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    elsewhere = dataclasses.replace(server, work=tmp_path / "elsewhere")
    assert signatures(gun, elsewhere) == {"v1": signature(target(gun))}


def test_the_signer_that_the_settings_name_signs_and_reads_back(
    lab: Any, gun: str, new_gun: NewGun, key: SigningKey, tmp_path: Path
) -> None:
    settings = Settings(
        notary_server=lab.notary_url,
        notary_ca=Path(lab.notary_ca),
        signing_key=key.path,
        signing_passphrase=key.passphrase,
        state_dir=tmp_path,
        docker_config=tmp_path,
    )
    signer, unknown = make_signer(settings), new_gun()
    signer.ready([gun])
    signer.sign([target(gun), target(gun, "v2")])
    assert signer.signed([gun, unknown]) == {
        gun: {"v1": signature(target(gun)), "v2": signature(target(gun))},
        unknown: {},
    }
    assert signer.describe(gun) == lab.notary_url
    with pytest.raises(TrustError, match=f"farm trust init {unknown}"):
        signer.ready([gun, unknown])


def test_many_tags_of_one_gun_are_signed_by_one_call(gun: str, key: SigningKey, server: NotaryServer) -> None:
    targets = [target(gun, f"v{number}", f"index {number}") for number in range(5)]
    sign_targets(targets, key, server, timeout=TIMEOUT)
    assert digests(gun, server) == {item.tag: item.digest for item in targets}


def test_signing_again_changes_nothing_on_the_server(gun: str, key: SigningKey, server: NotaryServer) -> None:
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    useless = SigningKey(Path("/nonexistent"), None)
    sign_targets([target(gun)], useless, server, timeout=TIMEOUT)


def test_a_tag_that_was_rebuilt_is_signed_anew(gun: str, key: SigningKey, server: NotaryServer) -> None:
    old, new = target(gun), target(gun, content="rebuilt")
    sign_targets([old], key, server, timeout=TIMEOUT)
    sign_targets([new], key, server, timeout=TIMEOUT)
    assert digests(gun, server) == {"v1": new.digest}


def test_a_signature_with_a_wrong_size_is_replaced(gun: str, key: SigningKey, server: NotaryServer) -> None:
    wrong = dataclasses.replace(target(gun), size=1)
    sign_targets([wrong], key, server, timeout=TIMEOUT)
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    assert signatures(gun, server) == {"v1": signature(target(gun))}


def test_a_wrong_passphrase_is_reported_changes_nothing_and_is_not_shown(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    wrong = dataclasses.replace(key, passphrase=Secret("not-the-passphrase"))
    with pytest.raises(TrustDeniedError, match="passphrase of the signing key is wrong") as caught:
        sign_targets([target(gun, "v2")], wrong, server, timeout=TIMEOUT)
    assert "not-the-passphrase" not in "".join(traceback.format_exception(caught.value))
    assert digests(gun, server) == {"v1": target(gun).digest}


def test_an_encrypted_key_without_a_passphrase_names_the_settings(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    with pytest.raises(TrustDeniedError, match="FARM_SIGNING_PASSPHRASE"):
        sign_targets([target(gun)], dataclasses.replace(key, passphrase=None), server, timeout=TIMEOUT)


def test_a_key_that_nobody_allowed_is_refused(gun: str, server: NotaryServer, tmp_path: Path) -> None:
    passphrase = Secret("long enough to be taken")
    made = generate_delegation_key(tmp_path / "other", passphrase)
    with pytest.raises(TrustDeniedError, match="not allowed to sign"):
        sign_targets([target(gun)], SigningKey(made.key, passphrase), server, timeout=TIMEOUT)
    assert digests(gun, server) == {}


def test_a_gun_that_nobody_initialised_is_refused_and_stays_uninitialised(
    new_gun: NewGun, key: SigningKey, server: NotaryServer
) -> None:
    gun = new_gun()
    for _ in range(2):
        with pytest.raises(TrustError, match=f"farm trust init {gun}"):
            sign_targets([target(gun)], key, server, timeout=TIMEOUT)


def test_the_checks_before_a_build_find_a_wrong_key_and_an_uninitialised_gun(
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
        list(threads.map(lambda gun: sign_targets([target(gun)], key, server, timeout=TIMEOUT), guns))
    found = read_signatures(guns, server, timeout=TIMEOUT)
    assert {gun: found[gun]["v1"].digest for gun in guns} == {gun: target(gun).digest for gun in guns}


def test_concurrent_signings_of_one_gun_under_a_lock_lose_nothing(
    gun: str, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    targets = [target(gun, f"v{number}") for number in range(6)]

    def locked_sign(item: SignTarget) -> None:
        with locked(tmp_path / "gun.lock", TrustDeadline.after(TIMEOUT, "waiting for the GUN")):
            sign_targets([item], key, server, timeout=TIMEOUT)

    with ThreadPoolExecutor(len(targets)) as threads:
        list(threads.map(locked_sign, targets))
    assert digests(gun, server) == {item.tag: item.digest for item in targets}


def test_without_a_lock_what_returned_is_signed_and_the_rest_can_be_retried(
    gun: str, key: SigningKey, server: NotaryServer
) -> None:
    targets = [target(gun, f"v{number}") for number in range(4)]

    def signed(item: SignTarget) -> bool:
        try:
            sign_targets([item], key, server, timeout=TIMEOUT)
        except TrustUnavailableError as error:
            assert error.retryable  # noqa: PT017 - the error is one of two right outcomes
            return False
        return True

    with ThreadPoolExecutor(len(targets)) as threads:
        outcomes = list(threads.map(signed, targets))
    returned = {item.tag for item, done in zip(targets, outcomes, strict=True) if done}
    assert returned
    assert returned <= digests(gun, server).keys()
