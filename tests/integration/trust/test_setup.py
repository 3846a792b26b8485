"""What the administrator does, against a real notary server."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustDeniedError, TrustError
from farm.settings import Secret
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.delegation import certificate_of, generate_delegation_key
from farm.trust.notary.initialise import Step, stored_keys
from farm.trust.notary.keys import SigningKey, certified_key_id, notary_block
from farm.trust.notary.sign import SignTarget, sign
from farm.trust.notary.verify import signed_digests

if TYPE_CHECKING:
    from pathlib import Path

    from farm.trust.notary.client import NotaryServer
    from tests.integration.trust.conftest import Initialise, NewGun

TIMEOUT = 60.0
PASSPHRASE = Secret("long enough to be taken")


def target(gun: str) -> SignTarget:
    return SignTarget(gun, "v1", 7, "ab" * 32)


def test_initialising_twice_does_nothing_the_second_time(new_gun: NewGun, initialise: Initialise) -> None:
    gun = new_gun()
    assert initialise(gun) == (Step.CREATE, Step.DELEGATE)
    assert initialise(gun) == ()


def test_one_root_key_serves_all_guns(make_gun: NewGun, admin: Path) -> None:
    guns = {make_gun(), make_gun()}
    keys = stored_keys(admin)
    assert [key.role for key in keys].count("root") == 1
    assert guns <= {key.gun for key in keys if key.role == "targets"}
    assert not [key for key in keys if key.role == "snapshot"]


def test_a_second_delegation_key_may_sign_beside_the_first(
    gun: str, initialise: Initialise, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    made = generate_delegation_key(tmp_path / "second", PASSPHRASE)
    assert initialise(gun, certificate=made.certificate) == (Step.DELEGATE,)
    sign(target(gun), SigningKey(made.key, PASSPHRASE), server, timeout=TIMEOUT)
    sign(SignTarget(gun, "v2", 7, "ab" * 32), key, server, timeout=TIMEOUT)
    assert signed_digests([gun], server, timeout=TIMEOUT)[gun].keys() == {"v1", "v2"}


def test_a_gun_that_somebody_else_initialised_is_refused(
    gun: str, initialise: Initialise, tmp_path: Path
) -> None:
    with pytest.raises(TrustError, match="initialised with other keys"):
        initialise(gun, trust_dir=tmp_path)


def test_a_wrong_root_passphrase_says_so_and_initialises_nothing(
    gun: str, new_gun: NewGun, initialise: Initialise, server: NotaryServer
) -> None:
    other = new_gun()
    with pytest.raises(TrustDeniedError, match=r"passphrase of the root key .* is wrong"):
        initialise(other, root_passphrase=Secret("wrong-wrong"))
    assert signed_digests([gun, other], server, timeout=TIMEOUT) == {gun: {}, other: {}}


def test_a_targets_key_with_a_passphrase_of_its_own_is_opened_too(
    new_gun: NewGun, initialise: Initialise, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    gun, admin, of_targets = new_gun(), tmp_path / "admin", Secret("repository-passphrase")
    initialise(gun, trust_dir=admin, root_passphrase=of_targets)
    second = generate_delegation_key(tmp_path / "second", PASSPHRASE).certificate
    initialise(gun, trust_dir=admin, certificate=second, repository_passphrase=of_targets)
    sign(target(gun), key, server, timeout=TIMEOUT)


def test_a_root_passphrase_that_is_too_short_is_refused_with_the_reason(
    new_gun: NewGun, initialise: Initialise, tmp_path: Path
) -> None:
    with pytest.raises(TrustDeniedError, match="8 characters"):
        initialise(new_gun(), trust_dir=tmp_path / "admin", root_passphrase=Secret("short"))


def test_generating_a_delegation_key_twice_keeps_the_first(tmp_path: Path) -> None:
    first = generate_delegation_key(tmp_path, PASSPHRASE)
    before = first.key.read_text(), first.certificate.read_text()
    second = generate_delegation_key(tmp_path, PASSPHRASE)
    assert (second.key.read_text(), second.certificate.read_text()) == before
    assert first.key.stat().st_mode & 0o777 == 0o600


def test_a_generated_key_whose_certificate_was_lost_gets_one_for_the_same_key(tmp_path: Path) -> None:
    made = generate_delegation_key(tmp_path, PASSPHRASE)
    deadline = Deadline.after(TIMEOUT, "the test")
    before = certified_key_id(made.certificate, deadline)
    made.certificate.unlink()
    generate_delegation_key(tmp_path, PASSPHRASE)
    assert certified_key_id(made.certificate, deadline) == before


def test_a_key_as_docker_and_notary_keep_it_may_sign(
    gun: str, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.key"
    kept.write_text(notary_block(key.path.read_text(), "targets/releases"))
    sign(target(gun), SigningKey(kept, key.passphrase), server, timeout=TIMEOUT)
    assert "v1" in signed_digests([gun], server, timeout=TIMEOUT)[gun]


def test_a_certificate_needs_the_right_passphrase(tmp_path: Path) -> None:
    made = generate_delegation_key(tmp_path, PASSPHRASE)
    with pytest.raises(TrustDeniedError):
        certificate_of(SigningKey(made.key, Secret("wrong")), Deadline.after(TIMEOUT, "the test"))


@pytest.mark.parametrize(
    ("algorithm", "choice"), [("RSA", "rsa_keygen_bits:2048"), ("EC", "ec_paramgen_curve:P-384")]
)
def test_a_key_that_openssl_made_becomes_one_that_may_sign(
    tmp_path: Path, initialise: Initialise, gun: str, algorithm: str, choice: str
) -> None:
    plain, certificate = tmp_path / "plain.pem", tmp_path / "plain.crt"
    made = ["openssl", "genpkey", "-quiet", "-algorithm", algorithm, "-pkeyopt", choice, "-out", str(plain)]
    subprocess.run(made, check=True)
    key, server = SigningKey(plain, None), initialise.keywords["server"]
    certificate.write_text(certificate_of(key, Deadline.after(TIMEOUT, "the test")))
    initialise(gun, certificate=certificate)
    sign(target(gun), key, server, timeout=TIMEOUT)
    assert "v1" in signed_digests([gun], server, timeout=TIMEOUT)[gun]


def test_of_two_administrators_at_once_one_wins_and_the_other_is_told(
    new_gun: NewGun, initialise: Initialise, tmp_path: Path
) -> None:
    gun = new_gun()

    def attempt(name: str) -> str:
        try:
            initialise(gun, trust_dir=tmp_path / name)
        except TrustError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(attempt, ["one", "two"]))
    assert outcomes[0] == ""
    assert "initialised with other keys" in outcomes[1]
