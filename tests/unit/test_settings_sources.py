"""Secrets from files, paths relative to farm.yml, and the broker's URL and certificate."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.errors import SettingsError
from farm.settings import Secret, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.settings import Settings


def settings(environ: Mapping[str, str], config: Path | None = None) -> Settings:
    return load_settings({}, config=config or Path("/dev/null"), environ=environ)


def test_a_secret_in_a_file_that_a_variable_names_overrides_farm_yml(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from the file\n")
    (tmp_path / "farm.yml").write_text("flower-password: from farm.yml\n")
    found = settings({"FARM_FLOWER_PASSWORD_FILE": f"{tmp_path}/password"}, tmp_path / "farm.yml")
    assert found.flower_password == Secret("from the file")


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"FARM_BROKER": "redis://b", "FARM_BROKER_FILE": "broker"}, "broker is given twice"),
        ({"FARM_BROKER_FILE": "none"}, "FARM_BROKER_FILE: the file cannot be read"),
        ({"FARM_ORG_FILE": "broker"}, "unknown setting FARM_ORG_FILE"),
    ],
)
def test_a_file_without_a_secret_of_its_own_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broker").write_text("redis://a")
    with pytest.raises(SettingsError, match=problem):
        settings(environ)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_file_without_exactly_one_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        settings({"FARM_SIGNING_PASSPHRASE_FILE": f"{tmp_path}/secret"})
    assert "two" not in str(refused.value)


def test_paths_in_farm_yml_are_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("redis://host\n")
    (tmp_path / "farm.yml").write_text("broker-file: broker\nnotary-ca: ca.crt\nstate-dir: /var/lib/farm\n")
    found = settings({}, tmp_path / "farm.yml")
    assert found.broker == Secret("redis://host")
    assert found.notary_ca == tmp_path / "ca.crt"
    assert found.state_dir == Path("/var/lib/farm")


@pytest.mark.parametrize(
    ("url", "ca", "expected"),
    [
        ("redis://host/0", "/ca", "redis://host/0"),
        ("rediss://host/0", None, "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host/0", "/a b", "rediss://host/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fa%20b"),
        ("rediss://host/0?ssl_cert_reqs=none", None, "rediss://host/0?ssl_cert_reqs=none"),
    ],
)
def test_the_certificate_of_a_broker_is_verified_unless_its_url_says_otherwise(
    url: str, ca: str | None, expected: str
) -> None:
    found = settings({"FARM_BROKER": url, "FARM_BROKER_CA": ca or ""})
    assert found.broker == Secret(expected)
    assert settings({"FARM_BROKER": expected, "FARM_BROKER_CA": ca or ""}).broker == Secret(expected)


@pytest.mark.parametrize(
    "url",
    ["rediss://:s3cr/etPass@h:6379/0", "redis://:s3cr#t@h", "redis://u:12/s3cr@h:1", "redis://u:12?s3cr@h",
     "redis://:12#s3cr@h:6379/0", "redis://:s3cr@h:99999/0", "http://s3cr", "amqp://s3cr", "s3cr",
     "redis:/s3cr", "redis://", "redis:///0", "redis://h/s3cr", "redis://[s3cr", "unix://s3cr"],
)  # fmt: skip
def test_an_invalid_broker_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    problem = "must be a redis:// or rediss:// URL (percent-encode / # @ in the password)"
    (tmp_path / "broker").write_text(url)
    (tmp_path / "farm.yml").write_text(f"broker: '{url}'\n")
    sources = [
        ({"FARM_BROKER": url}, None, "FARM_BROKER"),
        ({"FARM_BROKER_FILE": f"{tmp_path}/broker"}, None, "FARM_BROKER_FILE"),
        ({}, tmp_path / "farm.yml", f"{tmp_path}/farm.yml: broker"),
    ]
    for environ, config, where in sources:
        with pytest.raises(SettingsError) as refused:
            settings(environ, config)
        assert str(refused.value) == f"{where}: {problem}"
        assert "s3cr" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://h/", "redis://h:6379/12", "redis://u:p%2Fw@h:1/0", "redis://:p@w@[::1]:1/0",
     "unix:///run/redis.sock", "redis://h/0?socket_timeout=5"],
)  # fmt: skip
def test_a_broker_is_a_redis_on_the_network_or_behind_a_socket(url: str) -> None:
    assert settings({"FARM_BROKER": url}).broker == Secret(url)
