"""The checks of `farm doctor`: no failure hides another, and what would fail the first push is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.diagnosis.checks import examine, exit_code, run_check
from farm.settings import Secret, Settings

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "localhost:1"


def unserved(directory: Path, **more: object) -> Settings:
    """Settings under which no service can be reached."""
    return Settings(
        engine="unix:///nowhere",
        org=f"{NOWHERE}/linuxkit",
        notary_server=f"https://{NOWHERE}",
        state_dir=directory,
        **more,  # type: ignore[arg-type]
    )


def test_an_internal_error_of_one_check_is_a_finding() -> None:
    def check(_: Settings) -> str:
        raise RuntimeError("as\nnobody expected")

    finding = run_check("part", check, Settings())
    assert str(finding.error).startswith("internal error: RuntimeError: as nobody expected (")
    assert exit_code([finding]) == 1


@pytest.mark.parametrize("url", ["nonsense", "tcp://h:99999", "http://[", "ssh://h"])
def test_an_invalid_engine_url_is_not_an_internal_error(tmp_path: Path, url: str) -> None:
    findings = {one.part: one for one in examine(replace(unserved(tmp_path, sign=False), engine=url))}
    error = findings["engine"].error
    assert error is not None
    assert error.message == f"engine: invalid Docker Engine URL {url}"


def test_a_private_farm_without_a_signing_key_is_reported(tmp_path: Path) -> None:
    findings = {one.part: one for one in examine(unserved(tmp_path))}
    error = findings["signing key"].error
    assert error is not None
    assert error.hint == "farm trust init makes one for signing-key; or add --no-sign"
    assert error.exit_code == 4


def test_a_machine_needs_no_key_if_it_only_submits_or_does_not_sign(tmp_path: Path) -> None:
    shared = {one.part: one for one in examine(unserved(tmp_path, broker=Secret(f"redis://{NOWHERE}")))}
    assert "does not publish" in shared["signing key"].found
    assert "signing key" not in {one.part for one in examine(unserved(tmp_path, sign=False))}


def test_a_policy_is_checked_where_one_is_set(tmp_path: Path) -> None:
    settings = unserved(tmp_path, sign=False, policy=tmp_path / "policy.yml", arches=("arm64",))
    assert "policy" not in {one.part for one in examine(replace(settings, policy=None))}
    (tmp_path / "policy.yml").write_text("attestations: 1")
    findings = {one.part: one for one in examine(settings)}
    assert "; no maintainer: nobody can order a build" in findings["policy"].found
    (tmp_path / "policy.yml").write_text("attestation: 1")
    error = {one.part: one for one in examine(settings)}["policy"].error
    assert str(error).endswith("policy.yml:1: attestation: unknown field (did you mean attestations?)")
