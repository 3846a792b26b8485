"""Making keys and initialising GUNs, against a real notary server."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustDeniedError, TrustError
from farm.settings import Secret
from farm.trust.notary.admin_keys import stored_keys
from farm.trust.notary.delegation import certificate_of, generate_delegation_key
from farm.trust.notary.initialise import InitialisationStep
from farm.trust.notary.keys import SigningKey, certified_key_id, notary_block
from farm.trust.notary.limits import TrustDeadline
from farm.trust.notary.verify import read_signatures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.trust.conftest import Initialise, NewGun, Repository

PASSPHRASE = Secret("long enough to be taken")


def test_one_root_key_serves_all_guns(new_gun: NewGun, initialise: Initialise, admin: Path) -> None:
    guns = {new_gun(), new_gun()}
    for gun in guns:
        initialise(gun)
    keys = stored_keys(admin)
    assert [key.role for key in keys].count("root") == 1
    assert guns <= {key.gun for key in keys if key.role == "targets"}
    assert not [key for key in keys if key.role == "snapshot"]


def test_a_second_delegation_key_may_sign_beside_the_first(
    repository: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    made = generate_delegation_key(tmp_path / "second", PASSPHRASE)
    steps = initialise(repository.gun, certificate=made.certificate)
    assert steps == (InitialisationStep.DELEGATE,)
    repository.sign(key=SigningKey(made.key, PASSPHRASE))
    repository.sign(repository.target("v2"))
    assert repository.signed().keys() == {"v1", "v2"}


def test_a_gun_that_somebody_else_initialised_is_refused(
    repository: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    with pytest.raises(TrustError, match="initialised with other keys"):
        initialise(repository.gun, trust_dir=tmp_path)


def test_a_wrong_root_passphrase_is_reported_and_initialises_nothing(
    repository: Repository, new: Repository, initialise: Initialise
) -> None:
    with pytest.raises(TrustDeniedError, match=r"passphrase of the root key .* is wrong"):
        initialise(new.gun, root_passphrase=Secret("wrong-wrong"))
    guns = [repository.gun, new.gun]
    found = read_signatures(guns, new.server)
    assert {gun: found[gun].tags for gun in guns} == {gun: {} for gun in guns}


def test_a_short_root_passphrase_is_refused_with_the_reason(
    new_gun: NewGun, initialise: Initialise, tmp_path: Path
) -> None:
    with pytest.raises(TrustDeniedError, match="8 characters"):
        initialise(new_gun(), trust_dir=tmp_path / "admin", root_passphrase=Secret("short"))


def test_what_exists_of_a_delegation_key_and_its_certificate_is_kept_and_the_rest_made(
    tmp_path: Path,
) -> None:
    def files() -> list[str]:
        made = generate_delegation_key(tmp_path, PASSPHRASE)
        return [
            made.key.read_text(),
            certified_key_id(made.certificate, TrustDeadline.after(60.0, "the test")),
        ]

    first = files()
    certificate = (tmp_path / "delegation.crt").read_text()
    assert files() == first
    assert (tmp_path / "delegation.crt").read_text() == certificate
    assert (tmp_path / "delegation.pem").stat().st_mode & 0o777 == 0o600
    (tmp_path / "delegation.crt").unlink()
    with pytest.raises(TrustDeniedError):
        generate_delegation_key(tmp_path, Secret("wrong-wrong"))
    assert files() == first


def test_a_key_file_of_docker_or_notary_can_sign(repository: Repository, tmp_path: Path) -> None:
    kept = tmp_path / "kept.key"
    kept.write_text(notary_block(repository.key.path.read_text(), "targets/releases"))
    repository.sign(key=replace(repository.key, path=kept))
    assert "v1" in repository.signed()


@pytest.mark.parametrize(
    ("algorithm", "choice"), [("RSA", "rsa_keygen_bits:2048"), ("EC", "ec_paramgen_curve:P-384")]
)
def test_a_key_made_with_openssl_can_be_allowed_to_sign(
    tmp_path: Path, initialise: Initialise, repository: Repository, algorithm: str, choice: str
) -> None:
    plain, certificate = tmp_path / "plain.pem", tmp_path / "plain.crt"
    made = ["openssl", "genpkey", "-quiet", "-algorithm", algorithm, "-pkeyopt", choice, "-out", str(plain)]
    subprocess.run(made, check=True)
    key = SigningKey(plain, None)
    certificate.write_text(certificate_of(key, TrustDeadline.after(60.0, "the test")))
    initialise(repository.gun, certificate=certificate)
    repository.sign(key=key)
    assert "v1" in repository.signed()


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
    assert "shows the root key" in outcomes[1]
