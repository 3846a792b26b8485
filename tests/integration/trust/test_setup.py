"""Making keys and initialising GUNs, against a real notary server."""

from __future__ import annotations

import dataclasses
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustDeniedError, TrustError
from farm.settings import Secret
from farm.trust.notary.admin_keys import stored_keys
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.delegation import certificate_of, generate_delegation_key
from farm.trust.notary.initialise import InitialisationStep
from farm.trust.notary.keys import SigningKey, certified_key_id, notary_block
from farm.trust.notary.sign_targets import sign_targets
from farm.trust.notary.verify import read_signatures
from farm.trust.signer import SignTarget

if TYPE_CHECKING:
    from pathlib import Path

    from farm.trust.notary.client import NotaryServer
    from tests.integration.trust.conftest import Initialise, NewGun

TIMEOUT = 60.0
PASSPHRASE = Secret("long enough to be taken")


def target(gun: str) -> SignTarget:
    return SignTarget(gun, "v1", f"sha256:{'ab' * 32}", 7)


def test_initialising_twice_does_nothing_the_second_time(new_gun: NewGun, initialise: Initialise) -> None:
    gun = new_gun()
    assert initialise(gun) == (InitialisationStep.CREATE, InitialisationStep.DELEGATE)
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
    assert initialise(gun, certificate=made.certificate) == (InitialisationStep.DELEGATE,)
    sign_targets([target(gun)], SigningKey(made.key, PASSPHRASE), server, timeout=TIMEOUT)
    sign_targets([dataclasses.replace(target(gun), tag="v2")], key, server, timeout=TIMEOUT)
    assert read_signatures([gun], server, timeout=TIMEOUT)[gun].keys() == {"v1", "v2"}


def test_a_gun_that_somebody_else_initialised_is_refused(
    gun: str, initialise: Initialise, tmp_path: Path
) -> None:
    with pytest.raises(TrustError, match="initialised with other keys"):
        initialise(gun, trust_dir=tmp_path)


def test_a_wrong_root_passphrase_is_reported_and_initialises_nothing(
    gun: str, new_gun: NewGun, initialise: Initialise, server: NotaryServer
) -> None:
    other = new_gun()
    with pytest.raises(TrustDeniedError, match=r"passphrase of the root key .* is wrong"):
        initialise(other, root_passphrase=Secret("wrong-wrong"))
    assert read_signatures([gun, other], server, timeout=TIMEOUT) == {gun: {}, other: {}}


def test_a_targets_key_with_its_own_passphrase_can_be_used(
    new_gun: NewGun, initialise: Initialise, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    gun, admin, of_targets = new_gun(), tmp_path / "admin", Secret("repository-passphrase")
    initialise(gun, trust_dir=admin, root_passphrase=of_targets)
    second = generate_delegation_key(tmp_path / "second", PASSPHRASE).certificate
    initialise(gun, trust_dir=admin, certificate=second, repository_passphrase=of_targets)
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)


def test_a_short_root_passphrase_is_refused_with_the_reason(
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


def test_a_lost_certificate_is_made_again_for_the_same_key(tmp_path: Path) -> None:
    made = generate_delegation_key(tmp_path, PASSPHRASE)
    deadline = TrustDeadline.after(TIMEOUT, "the test")
    before = certified_key_id(made.certificate, deadline)
    made.certificate.unlink()
    generate_delegation_key(tmp_path, PASSPHRASE)
    assert certified_key_id(made.certificate, deadline) == before


def test_a_key_file_of_docker_or_notary_can_sign(
    gun: str, key: SigningKey, server: NotaryServer, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.key"
    kept.write_text(notary_block(key.path.read_text(), "targets/releases"))
    sign_targets([target(gun)], SigningKey(kept, key.passphrase), server, timeout=TIMEOUT)
    assert "v1" in read_signatures([gun], server, timeout=TIMEOUT)[gun]


def test_a_certificate_needs_the_right_passphrase(tmp_path: Path) -> None:
    made = generate_delegation_key(tmp_path, PASSPHRASE)
    with pytest.raises(TrustDeniedError):
        certificate_of(SigningKey(made.key, Secret("wrong")), TrustDeadline.after(TIMEOUT, "the test"))


@pytest.mark.parametrize(
    ("algorithm", "choice"), [("RSA", "rsa_keygen_bits:2048"), ("EC", "ec_paramgen_curve:P-384")]
)
def test_a_key_made_with_openssl_can_be_allowed_to_sign(
    tmp_path: Path, initialise: Initialise, gun: str, algorithm: str, choice: str
) -> None:
    plain, certificate = tmp_path / "plain.pem", tmp_path / "plain.crt"
    made = ["openssl", "genpkey", "-quiet", "-algorithm", algorithm, "-pkeyopt", choice, "-out", str(plain)]
    subprocess.run(made, check=True)
    key, server = SigningKey(plain, None), initialise.keywords["server"]
    certificate.write_text(certificate_of(key, TrustDeadline.after(TIMEOUT, "the test")))
    initialise(gun, certificate=certificate)
    sign_targets([target(gun)], key, server, timeout=TIMEOUT)
    assert "v1" in read_signatures([gun], server, timeout=TIMEOUT)[gun]


def test_of_two_concurrent_administrators_one_wins_and_the_other_gets_an_error(
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
