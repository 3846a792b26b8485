"""Keys of the farm and of the cosign program, in files, variables, and behind the program."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import FarmError, TrustDeniedError
from farm.settings import Secret, Settings, child_environment, load_settings, without_signing_keys
from farm.trust.cosign.configure import key_pair
from farm.trust.cosign.key_files import generate_key_pair
from tests.support.cosign import PASSPHRASE, run

if TYPE_CHECKING:
    from pathlib import Path

    from farm.trust.cosign.key_files import CosignKeyPair
    from tests.support.cosign import Published

MESSAGE = b"a message"


def settings_of(path: Path, passphrase: str | None = PASSPHRASE) -> Settings:
    return Settings(cosign_key=path, cosign_password=Secret(passphrase) if passphrase else None)


def test_the_program_signs_with_a_key_of_the_farm_and_the_farm_with_a_key_of_the_program(
    key_files: CosignKeyPair, other_keys: CosignKeyPair, tmp_path: Path
) -> None:
    printed = run("public-key", "--key", str(key_files.key))
    assert printed.stdout == key_files.public.read_text()
    private, public = key_pair(settings_of(other_keys.key))
    (tmp_path / "signature").write_bytes(private.sign(MESSAGE))
    named = ["--key", str(other_keys.public), "--signature", str(tmp_path / "signature")]
    verified = run("verify-blob", *named, "--insecure-ignore-tlog=true", "-", given=MESSAGE)
    assert (verified.returncode, public.pem) == (0, other_keys.public.read_text())


def test_a_key_without_a_passphrase_as_automation_makes_it_opens_without_one(tmp_path: Path) -> None:
    prefix = str(tmp_path / "cosign")
    assert run("generate-key-pair", "--output-key-prefix", prefix, COSIGN_PASSWORD="").returncode == 0
    key_pair(settings_of(tmp_path / "cosign.key", None))


@pytest.mark.parametrize("algorithm", ["EC", "RSA", "ED25519"])
@pytest.mark.parametrize(
    "cipher", [[], ["-aes-256-cbc", "-pass", f"pass:{PASSPHRASE}"]], ids=["plain", "encrypted"]
)
def test_a_key_in_pkcs_8_signs_what_cosign_verifies(
    tmp_path: Path, algorithm: str, cipher: list[str]
) -> None:
    key, public, signature = (tmp_path / name for name in ("signing.pem", "public.pem", "signature"))
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "EC" else []
    command = ["openssl", "genpkey", "-algorithm", algorithm, *curve, *cipher, "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    private, _ = key_pair(settings_of(key))
    public.write_text(private.public.pem)
    signature.write_bytes(private.sign(MESSAGE))
    named = ["--key", str(public), "--signature", str(signature), "--insecure-ignore-tlog=true"]
    assert run("verify-blob", *named, "-", given=MESSAGE).returncode == 0


def test_a_key_that_cannot_be_used_is_reported_before_a_build_in_one_line_that_shows_no_secret(
    key_files: CosignKeyPair, other_keys: CosignKeyPair, tmp_path: Path
) -> None:
    own, junk = settings_of(key_files.key), tmp_path / "cosign.key"
    junk.write_text("-----BEGIN NOTHING-----")
    refused = {
        "no cosign key is set (set cosign-key": Settings(cosign_public_key=key_files.public),
        "the passphrase of the cosign key is wrong": settings_of(key_files.key, "wr0ng"),
        "encrypted, and its passphrase is not set (set FARM_COSIGN_PASSWORD": settings_of(
            key_files.key, None
        ),
        "contains no private key in PEM": settings_of(junk),
        "cannot be read: No such file": settings_of(tmp_path / "none.key"),
        "must be the public half of cosign-key": replace(own, cosign_public_key=other_keys.public),
        "contains no public key in PEM": replace(own, cosign_public_key=key_files.key),
    }
    for said, settings in refused.items():
        with pytest.raises(TrustDeniedError) as caught:
            key_pair(settings)
        assert said in str(caught.value)
        assert not {"\n", "wr0ng"} & set(str(caught.value).split(" "))


def test_the_key_comes_from_a_variable_too_and_no_process_that_builds_gets_it(
    key_files: CosignKeyPair,
) -> None:
    text = key_files.key.read_text()
    settings = load_settings(
        {}, environ={"COSIGN_PRIVATE_KEY": text, "FARM_COSIGN_PASSWORD": PASSPHRASE, "HOME": "/"}
    )
    assert key_pair(settings)[1].pem == key_files.public.read_text()
    assert child_environment(settings)["FARM_COSIGN_PRIVATE_KEY"] == text
    assert text not in child_environment(without_signing_keys(settings)).values()


@pytest.mark.usefixtures("on_path")
def test_a_key_that_only_the_program_reaches_signs_through_it(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING_KEY", published.keys.key.read_text())
    published.signer(cosign_key="env://SIGNING_KEY").sign([published.target()])
    assert (published.is_signed(), published.verify().returncode) == (True, 0)
    for uri, said in {"pkcs11:x": "pkcs11 uri", "env://NONE": "env"}.items():
        with pytest.raises(TrustDeniedError, match=f"cosign cannot use the key {uri}: .*{said}"):
            published.signer(cosign_key=uri).ready([])


def test_a_key_behind_the_program_needs_it_and_says_so(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(FarmError, match="cosign is not installed"):
        published.signer(cosign_key="awskms:///alias/farm").ready([])


def test_an_existing_key_is_kept_and_a_missing_public_key_is_made_again(tmp_path: Path) -> None:
    made = generate_key_pair(tmp_path, Secret("open"))
    assert (made.key.stat().st_mode & 0o777, made.public.stat().st_mode & 0o777) == (0o600, 0o644)
    before = made.key.read_bytes(), made.public.read_bytes()
    made.public.unlink()
    generate_key_pair(tmp_path, Secret("open"))
    assert (made.key.read_bytes(), made.public.read_bytes()) == before
    made.public.unlink()
    with pytest.raises(TrustDeniedError, match="passphrase of the cosign key is wrong"):
        generate_key_pair(tmp_path, Secret("other"))
