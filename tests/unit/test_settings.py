"""Settings: which source takes precedence, what each type accepts, how errors are reported, and secrets."""

from __future__ import annotations

import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import SettingsError
from farm.settings import (
    FIELDS,
    SECRET_FILES,
    Secret,
    Settings,
    child_environment,
    environment,
    load_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def loaded(tmp_path: Path, text: str = "", flags: dict[str, Any] | None = None, **environ: str) -> Settings:
    """The settings from a farm.yml, flags and variables alone."""
    config = tmp_path / "farm.yml"
    config.write_text(text, errors="surrogateescape")
    return load_settings(flags or {}, config=config, environ=environ)


def refusal(tmp_path: Path, text: str = "", flags: dict[str, Any] | None = None, **environ: str) -> str:
    """The error with which settings are refused."""
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text, flags, **environ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "flags", "environ", "changed"),
    [
        ("", {}, {}, {}),
        ("org: file\n", {}, {}, {"org": "file"}),
        ("org: file\n", {}, {"FARM_ORG": "variable"}, {"org": "variable"}),
        ("org: file\n", {"org": "flag"}, {"FARM_ORG": "variable"}, {"org": "flag"}),
        ("sign: false\n", {"sign": None, "org": None}, {}, {"sign": False}),
        ("org:\n", {}, {"FARM_BROKER": "", "DOCKER_HOST": ""}, {}),
        ("http-timeout: 7\nbuild_timeout: 8\n", {}, {}, {"http_timeout": 7.0, "build_timeout": 8.0}),
        ("signing-key: ~/key.pem\n", {}, {}, {"signing_key": Path.home() / "key.pem"}),
        ("arches: [amd64, arm64]\n", {}, {}, {"arches": ("amd64", "arm64")}),
        ("", {}, {"FARM_ARCHES": " amd64 , arm64 ,"}, {"arches": ("amd64", "arm64")}),
    ],
    ids=["defaults", "file", "variable over file", "flag over both", "flags not given", "empty values",
         "dashes or underscores", "home as in a shell", "a list of words", "comma-separated words"],
)  # fmt: skip
def test_settings_are_the_defaults_with_what_flags_variables_and_the_file_change_in_this_order(
    tmp_path: Path, text: str, flags: dict[str, Any], environ: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert asdict(loaded(tmp_path, text, flags, **environ)) == asdict(replace(Settings(), **changed))


def test_the_farms_own_variable_overrides_that_of_another_program(tmp_path: Path) -> None:
    made = loaded(tmp_path, DOCKER_HOST="unix:///a", FARM_ENGINE="unix:///b", DOCKER_CONFIG="/logins")
    assert (made.engine, made.docker_config) == ("unix:///b", Path("/logins"))


def test_the_file_that_is_named_or_else_the_users_is_the_only_one_that_is_read_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path / "home")}
    places = [
        ("home/.config/farm/farm.yml", {}),
        ("xdg/farm/farm.yml", {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}),
        ("other.yml", {"FARM_CONFIG": str(tmp_path / "other.yml")}),
    ]
    for number, (place, more) in enumerate(places):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"org: {place}\n" + ("lease: 9\n" if number == 0 else ""))
        environ |= more
        made = load_settings({}, environ=environ)
        assert (made.org, made.lease) == (place, 9.0 if number == 0 else Settings().lease)


def in_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, own: str = "", **environ: str
) -> tuple[Settings, list[str]]:
    """The settings, and the warnings, in a directory that has this farm.yml, for a user with another one."""
    here, home = tmp_path / "repository", tmp_path / "home"
    for file, content in ((here / "farm.yml", text), (home / ".config/farm/farm.yml", own)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    monkeypatch.chdir(here)
    warnings: list[str] = []
    return load_settings({}, environ={"HOME": str(home), **environ}, warn=warnings.append), warnings


def test_the_file_of_the_current_directory_sets_only_what_concerns_packages_above_the_users_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "org: theirs\narches: [arm64]\nbuild-args: {A: b}\npackage-dirs: [pkg]\nbump-files: [Makefile]\n"
    made, warnings = in_repository(tmp_path, monkeypatch, text, "org: mine\nlease: 9\n")
    assert (made.org, made.arches, made.build_args, made.lease) == ("theirs", ("arm64",), (("A", "b"),), 9)
    assert (made.package_dirs, made.bump_files) == (("pkg",), ("Makefile",))
    assert warnings == []
    assert in_repository(tmp_path, monkeypatch, text, FARM_ORG="env")[0].org == "env"


def test_every_other_setting_in_the_file_of_the_current_directory_is_named_and_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = sorted({*FIELDS, *SECRET_FILES} - {"org", "arches", "build_args", "package_dirs", "bump_files"})
    keys = [name.replace("_", "-") for name in others]
    made, warnings = in_repository(tmp_path, monkeypatch, "".join(f"{key}: /no/such\n" for key in keys))
    home = {"HOME": str(tmp_path / "home")}
    monkeypatch.chdir(tmp_path)
    assert asdict(made) == asdict(load_settings({}, environ=home))
    (warning,) = warnings
    assert warning.startswith(f"./farm.yml: ignored {', '.join(keys)}: ")
    assert "~/.config/farm/farm.yml, or trust this file: --config farm.yml" in warning


def test_a_file_that_is_named_with_config_is_trusted_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "engine: tcp://theirs\n"
    assert in_repository(tmp_path, monkeypatch, text, FARM_CONFIG="farm.yml")[0].engine == "tcp://theirs"
    assert load_settings({}, config=Path("farm.yml"), environ={}).engine == "tcp://theirs"


def test_the_users_file_is_trusted_in_its_own_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_repository(tmp_path, monkeypatch, "", "engine: tcp://mine\n")
    monkeypatch.chdir(tmp_path / "home" / ".config" / "farm")
    warnings: list[str] = []
    made = load_settings({}, environ={"HOME": str(tmp_path / "home")}, warn=warnings.append)
    assert (made.engine, warnings) == ("tcp://mine", [])


@pytest.mark.parametrize("url", ["redis://:pw@h/0", "rediss://u:pw@h/0", "redis://h/0?password=pw"])
def test_a_password_on_the_command_line_is_refused_and_the_variable_named(url: str) -> None:
    with pytest.raises(SettingsError, match="set FARM_BROKER, or broker-file") as caught:
        load_settings({"broker": url}, environ={"HOME": "/nonexistent"})
    assert "pw@" not in str(caught.value)
    assert load_settings({"broker": "redis://h/0"}, environ={"FARM_CONFIG": "/dev/null"}).broker


def test_a_login_in_the_url_of_notary_is_refused_without_showing_it(tmp_path: Path) -> None:
    answer = refusal(tmp_path, "notary-server: https://user:hush@notary\n")
    assert "must have no login" in answer
    assert "hush" not in answer


READ: dict[str, dict[str, object]] = {
    "lease": {"90": 90.0, "0.5": 0.5, "30s": 30.0, "5m": 300.0, "4h": 14400.0, "7d": 604800.0},
    "emulate": {"true": True, "Yes": True, "on": True, "1": True, "False": False, "no": False, "off": False},
    "flower_port": {"65535": 65535},
    "arches": {"amd64,arm64": ("amd64", "arm64")},
    "build_args": dict.fromkeys(["A=1,B=x=y", '{"A": "1", "B": "x=y"}'], (("A", "1"), ("B", "x=y"))),
    "builders": dict.fromkeys(["linux/arm64=far", '{"linux/arm64": "far"}'], (("linux/arm64", "far"),)),
    "build_cache_to": {"'example.org/{name}:{arch}'": ("example.org/{name}:{arch}",)},
    "sbom": {"true": "true", "no": None, "max": "max"},
    "provenance": {"true": "min", "no": None, "max": "max", "min": "min"},
}
"""By setting: what is written, and what it means."""
NOT_A_SIZE, NOT_A_NUMBER, NOT_A_PAIR = (
    "must be bytes, such as 500MB or 20GiB",
    "must be a whole number",
    "must be KEY=VALUE",
)
REFUSED = {
    "FARM_CONCURRENCY": {"many": NOT_A_NUMBER, "1.5": NOT_A_NUMBER, "0": "must be 1 or more"},
    "FARM_FLOWER_PORT": {"many": NOT_A_NUMBER, "-3": "must be 1 or more", "65536": "must be 65535 or less"},
    "FARM_LEASE": dict.fromkeys(
        ["soon", "5w", "m"], "must be seconds, or a number with s, m, h or d, such as 90 or 4h"
    )
    | dict.fromkeys(["0", "-1", "inf", "nan", "1e30"], "must be more than 0, and at most 3650d"),
    "FARM_CACHE_KEEP": dict.fromkeys(["much", "inf", "1e400", "5 stones", "MiB"], NOT_A_SIZE)
    | {"-1": "must not be less than 0"},
    "FARM_SIGN": {"maybe": "must be true or false"},
    "FARM_BUILD_ARGS": dict.fromkeys(["A", "A=1,B", "=1"], NOT_A_PAIR)
    | dict.fromkeys(["{", '{"A"'], f"{NOT_A_PAIR}, or a JSON object")
    | {'{"A": 1}': "must be text, in quotes"},
    "FARM_BUILDERS": {"arm64=far": "must be linux/ARCH=NAME"},
    "FARM_BUILDER": {"kaniko": "must be one of auto, engine, buildx"},
    "FARM_BUILD_CACHE_TO": {
        "example.org/cache": "must contain {name} and {arch}, or builds would overwrite each other's cache"
    },
    "FARM_PROVENANCE": {"all": "must be min, max or false"},
    "LINUXKIT_MIRROR": dict.fromkeys(
        ["a.org=m", "ftp://m", "a.org=https://m?x", "a.org="],
        "must be REGISTRY=http://... or REGISTRY=https://...",
    ),
}
"""By variable: what is written, and why it is refused."""


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [(name, text, value) for name, values in READ.items() for text, value in values.items()],
)
def test_a_value_means_the_same_in_the_file_and_in_a_variable(
    tmp_path: Path, setting: str, text: str, value: object
) -> None:
    variable: dict[str, Any] = {f"FARM_{setting.upper()}": text.strip("'")}
    assert getattr(loaded(tmp_path, f"{setting}: {text}\n"), setting) == value
    assert getattr(loaded(tmp_path, **variable), setting) == value


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [(name, text, problem) for name, texts in REFUSED.items() for text, problem in texts.items()],
)
def test_an_invalid_value_is_refused_with_the_reason(
    tmp_path: Path, variable: str, text: str, problem: str
) -> None:
    given: dict[str, Any] = {variable: text}
    shown = "" if variable in HIDDEN_VALUES else f"invalid value {text!r}: "
    assert refusal(tmp_path, **given) == f"{variable}: {shown}{problem}"


HIDDEN_VALUES = ("FARM_BUILD_ARGS", "LINUXKIT_MIRROR", "FARM_MIRRORS", "FARM_BUILDERS")
"""Variables whose values may hold a login or a secret, so that errors do not show them."""
TEXT = "must be text, in quotes"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("orgg: a", "unknown setting orgg (did you mean org?)"),
        ("http_timout: 3", "unknown setting http_timout (did you mean http-timeout?)"),
        ("zzz: a", "see `farm doctor --settings`"),
        ("5: a", "unknown setting 5"),
        ("- a", "must be a mapping"),
        ("org: a\nlease: 9\norg: b", "farm.yml:3: org: is given twice, first in line 1"),
        ("a: [", "bad YAML"),
        ("org: \udcff", "bad YAML"),
        ("lease: true", "farm.yml: lease: "),
        ("lease: [1]", "farm.yml: lease: "),
        ("signing-key: ~nobody-of-this-name/key.pem", "no such user"),
        ("signing-passphrase: 0123", f"farm.yml: signing-passphrase: {TEXT}"),
        ("org: [a]", f"farm.yml: org: invalid value ['a']: {TEXT}"),
        ("engine: {a: b}", f"farm.yml: engine: {TEXT}"),
        ("state-dir: 5", f"farm.yml: state-dir: invalid value 5: {TEXT}"),
        ("build-args: {GO: 1.20}", f"farm.yml: build-args: {TEXT}"),
        ("arches: {amd64: arm64}", f"farm.yml: arches: invalid value {{'amd64': 'arm64'}}: {TEXT}"),
        ("flower-user: true", f"farm.yml: flower-user: invalid value True: {TEXT}"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_where(tmp_path: Path, line: str, problem: str) -> None:
    answer = refusal(tmp_path, f"{line}\n")
    assert problem in answer
    assert answer.startswith(str(tmp_path / "farm.yml"))


def test_a_missing_file_that_is_named_a_misspelt_variable_and_no_architecture_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({}, environ={"FARM_CONFIG": str(tmp_path / "none.yml")})
    assert "must name an architecture" in refusal(tmp_path, "arches: []\n")
    error = refusal(tmp_path, FARM_CONCURENCY="2")
    assert "unknown setting FARM_CONCURENCY (did you mean FARM_CONCURRENCY?)" in error


def test_only_reveal_shows_a_secret(tmp_path: Path) -> None:
    made = loaded(tmp_path, FARM_SIGNING_PASSPHRASE="hush-1", FARM_BROKER="redis://:hush-2@h/0")
    assert "hush" not in f"{made!r} {made} {made.broker}"
    assert made.signing_passphrase is not None
    assert made.signing_passphrase.reveal() == "hush-1"
    assert "83417" not in refusal(tmp_path, "signing-passphrase: 83417\n")


def test_equal_secrets_are_equal_and_differ_from_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_a_child_has_exactly_the_settings_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag with the default value overrides file and variables in the worker as well."""
    (tmp_path / "farm.yml").write_text("sign: false\norg: other\nsigning-passphrase: 'not for builders'\n")
    monkeypatch.chdir(tmp_path)
    foreign = {"DOCKER_CONTENT_TRUST_SERVER": "https://other", "FARM_LEASE": "9", "DOCKER_HOST": "unix:///x"}
    for key, value in foreign.items():
        monkeypatch.setenv(key, value)
    arguments = (("GOFLAGS", "-a, -b"), ("EMPTY", ""))
    wanted = replace(Settings(), engine="unix:///mine", notary_server="registry", build_args=arguments)
    assert asdict(load_settings({}, environ=child_environment(wanted))) == asdict(wanted)


def test_a_child_gets_other_and_extra_variables_and_no_secret_that_its_settings_lack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = "FARM_SIGNING_PASSPHRASE", "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", "FARM_ROOT_PASSPHRASE"
    for name in secrets:
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    made = child_environment(Settings(), {"FLOWER_PORT": "1"})
    assert (made["HTTPS_PROXY"], made["FLOWER_PORT"]) == ("http://proxy", "1")
    assert "hush" not in made.values()


def test_only_named_variables_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "here")
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    assert environment(["NO_PROXY", "HTTP_PROXY"]) == {"NO_PROXY": "here"}


def test_the_farms_variables_override_linuxkits(tmp_path: Path) -> None:
    linuxkit: dict[str, Any] = {"LINUXKIT_PKG_ORG": "linuxkit", "LINUXKIT_CACHE": "/cache"}
    settings = loaded(tmp_path, LINUXKIT_MIRROR="a.org=http://m/x,https://all", **linuxkit)
    assert (settings.org, str(settings.cache)) == ("linuxkit", "/cache")
    assert settings.mirrors == (("a.org", "http://m/x"), ("*", "https://all"))
    assert loaded(tmp_path, **linuxkit, FARM_ORG="farm").org == "farm"


def test_every_other_source_overrides_linuxkits_passphrase_command(tmp_path: Path) -> None:
    folder = tmp_path / ".moby" / "linuxkit"
    folder.mkdir(parents=True)
    home: dict[str, Any] = {"HOME": str(tmp_path)}
    (folder / "config.yml").write_text("pkg:\n  content-trust-passphrase-command: pass show x | head -1\n")
    assert loaded(tmp_path, **home).signing_passphrase_command == "/bin/sh -c 'pass show x | head -1'"
    overridden = loaded(tmp_path, **home, FARM_SIGNING_PASSPHRASE_COMMAND="other")
    assert overridden.signing_passphrase_command == "other"
    (folder / "config.yml").write_text("other: {}\n")
    assert loaded(tmp_path, **home).signing_passphrase_command is None
    (folder / "config.yml").write_text("[")
    with pytest.raises(SettingsError, match="bad YAML"):
        loaded(tmp_path, **home)


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
