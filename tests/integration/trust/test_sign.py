"""Signing against a real notary server."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import TrustDeniedError, TrustError
from farm.model import Reference
from farm.settings import Secret, Settings
from farm.system.locks import locked
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.keys import SigningKey, check_key
from farm.trust.notary.verify import read_signatures
from farm.trust.signer import Signature, Signer, SignTarget, make_signer

if TYPE_CHECKING:
    from tests.integration.trust.conftest import Initialise, NewGun, Repository


def signature(of: SignTarget) -> Signature:
    return Signature(of.digest, of.size)


def signer_of(lab: Any, key: SigningKey, home: Path) -> Signer:
    """The signer of a machine with this key."""
    return make_signer(
        Settings(
            notary_server=lab.notary_url,
            notary_ca=Path(lab.notary_ca),
            signing_key=key.path,
            signing_passphrase=key.passphrase,
            state_dir=home,
            docker_config=home,
            trust_pins=home / "pins.yml",
        )
    )


def test_the_signer_that_the_settings_name_signs_and_reads_back(
    lab: Any, repository: Repository, new: Repository, tmp_path: Path
) -> None:
    signer, targets = (
        signer_of(lab, repository.key, tmp_path),
        [repository.target(f"v{n}", f"index {n}") for n in range(5)],
    )
    signer.ready([Reference.parse(repository.gun)])
    signer.sign(targets)
    found = signer.signed([Reference.parse(gun) for gun in (repository.gun, new.gun)])
    assert found[repository.gun].tags == {target.tag: signature(target) for target in targets}
    assert (found[repository.gun].refusal, found[new.gun].tags) == (None, {})
    assert f"farm trust init {new.gun}" in str(found[new.gun].refusal)
    assert signer.ready([Reference.parse(repository.gun)]) == {repository.gun: found[repository.gun]}
    assert signer.describe(repository.gun).startswith(f"{lab.notary_url}, pinned: ")
    with pytest.raises(TrustError, match=f"farm trust init {new.gun}"):
        signer.ready(list(map(Reference.parse, (repository.gun, new.gun))))


def test_signing_again_changes_nothing_on_the_server(repository: Repository) -> None:
    repository.sign()
    repository.sign(key=SigningKey(Path("/nonexistent"), None))


@pytest.mark.parametrize("change", [{"digest": f"sha256:{'ab' * 32}"}, {"size": 1}])
def test_a_tag_that_is_signed_to_be_something_else_is_signed_anew(
    repository: Repository, change: dict[str, Any]
) -> None:
    repository.sign(repository.target()._replace(**change))
    repository.sign()
    assert repository.signed() == {"v1": signature(repository.target())}


def test_a_wrong_passphrase_is_reported_changes_nothing_and_is_not_shown(repository: Repository) -> None:
    repository.sign()
    wrong = replace(repository.key, passphrase=Secret("not-the-passphrase"))
    with pytest.raises(TrustDeniedError, match="passphrase of the signing key is wrong") as caught:
        repository.sign(repository.target("v2"), key=wrong)
    assert "not-the-passphrase" not in "".join(traceback.format_exception(caught.value))
    assert repository.signed() == {"v1": signature(repository.target())}


def test_a_key_that_nobody_allowed_is_refused(repository: Repository, tmp_path: Path) -> None:
    passphrase = Secret("long enough to be taken")
    made = generate_delegation_key(tmp_path / "other", passphrase)
    with pytest.raises(TrustDeniedError, match="not allowed to sign"):
        repository.sign(key=SigningKey(made.key, passphrase))
    assert repository.signed() == {}


def test_a_publisher_is_not_ready_with_a_key_that_nobody_allowed_or_without_a_delegation(
    lab: Any, repository: Repository, new: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    """So nothing is published that it cannot sign; anybody can see the second without a key."""
    passphrase = Secret("long enough to be taken")
    other = SigningKey(generate_delegation_key(tmp_path / "other", passphrase).key, passphrase)
    with pytest.raises(TrustDeniedError, match=f"not allowed to sign for {repository.gun}"):
        signer_of(lab, other, tmp_path).ready([Reference.parse(repository.gun)])
    initialise(new.gun, role="targets/elsewhere")
    signer = signer_of(lab, new.key, tmp_path)
    with pytest.raises(TrustError, match=f"{new.gun} has no delegation targets/releases") as caught:
        signer.ready([Reference.parse(new.gun)])
    assert str(signer.signed([Reference.parse(new.gun)])[new.gun].refusal) == str(caught.value)


def test_a_gun_that_nobody_initialised_is_refused_and_stays_uninitialised(new: Repository) -> None:
    for _ in range(2):
        with pytest.raises(TrustError, match=f"farm trust init {new.gun}"):
            new.sign()


def test_the_check_before_a_build_finds_a_key_that_cannot_be_opened(key: SigningKey) -> None:
    check_key(key, timeout=60)
    with pytest.raises(TrustDeniedError, match="passphrase of the signing key is wrong"):
        check_key(replace(key, passphrase=Secret("wrong")), timeout=60)
    with pytest.raises(TrustDeniedError, match="FARM_SIGNING_PASSPHRASE"):
        check_key(replace(key, passphrase=None), timeout=60)
    with pytest.raises(TrustDeniedError, match="cannot be read"):
        check_key(replace(key, path=Path("/nonexistent")), timeout=60)


def test_a_key_that_is_replaced_in_its_file_is_opened_again(key: SigningKey, tmp_path: Path) -> None:
    passphrase = Secret("of both keys")
    one, other = (generate_delegation_key(tmp_path / name, passphrase).key for name in ("one", "other"))
    used = SigningKey(one, passphrase)
    first = check_key(used, timeout=60)
    assert check_key(used, timeout=60) == first
    one.write_bytes(other.read_bytes())
    assert check_key(used, timeout=60) != first
    one.write_bytes(key.path.read_bytes())
    with pytest.raises(TrustDeniedError, match="passphrase of the signing key is wrong"):
        check_key(used, timeout=60)


def test_different_guns_are_signed_at_the_same_time(
    new: Repository, new_gun: NewGun, initialise: Initialise
) -> None:
    repositories = [replace(new, gun=new_gun()) for _ in range(6)]
    for repository in repositories:
        initialise(repository.gun)
    with ThreadPoolExecutor(len(repositories)) as threads:
        list(threads.map(lambda repository: repository.sign(), repositories))
    found = read_signatures([repository.gun for repository in repositories], new.server)
    for repository in repositories:
        assert found[repository.gun].tags == {"v1": signature(repository.target())}


def test_concurrent_signings_of_one_gun_under_a_lock_lose_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    targets = [repository.target(f"v{number}") for number in range(6)]

    def locked_sign(item: SignTarget) -> None:
        with locked(tmp_path / "gun.lock", timeout=60):
            repository.sign(item)

    with ThreadPoolExecutor(len(targets)) as threads:
        list(threads.map(locked_sign, targets))
    assert repository.signed() == {item.tag: signature(item) for item in targets}
