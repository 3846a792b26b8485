"""Settings: which source wins, what each kind of value may be, and how a mistake is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.errors import SettingsError
from farm.settings import FIELDS, Secret, Settings, child_environment, environment, load_settings
from lab.setup import ROOT


def loaded(tmp_path: Path, text: str = "", flags: dict[str, Any] | None = None, **environ: str) -> Settings:
    """The settings of a farm.yml, flags and an environment, and of nothing else."""
    config = tmp_path / "farm.yml"
    config.write_text(text)
    return load_settings(flags or {}, config=config, environ=environ)


def refusal(tmp_path: Path, text: str = "", flags: dict[str, Any] | None = None, **environ: str) -> str:
    """How settings are refused."""
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text, flags, **environ)
    return str(caught.value)


def test_without_any_source_each_setting_has_its_default(tmp_path: Path) -> None:
    assert loaded(tmp_path) == Settings()


def test_a_variable_beats_the_file_and_a_flag_beats_both(tmp_path: Path) -> None:
    text = "org: from-file\nconcurrency: 2\nlease: 5m\n"
    made = loaded(tmp_path, text, {"org": "from-flag"}, FARM_ORG="from-variable", FARM_CONCURRENCY="3")
    assert (made.org, made.concurrency, made.lease) == ("from-flag", 3, 300.0)


def test_a_flag_that_was_not_given_beats_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, "sign: false\n", {"sign": None, "org": None}).sign is False


def test_an_empty_variable_and_an_empty_key_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    assert loaded(tmp_path, "org:\n", FARM_BROKER="", DOCKER_HOST="") == Settings()


def test_the_farms_own_variable_beats_the_foreign_one(tmp_path: Path) -> None:
    made = loaded(tmp_path, DOCKER_HOST="unix:///a", FARM_ENGINE="unix:///b", DOCKER_CONFIG="/logins")
    assert (made.engine, made.docker_config) == ("unix:///b", Path("/logins"))


def test_keys_may_be_written_with_dashes_or_underscores(tmp_path: Path) -> None:
    made = loaded(tmp_path, "http-timeout: 7\nbuild_timeout: 8\n")
    assert (made.http_timeout, made.build_timeout) == (7.0, 8.0)


@pytest.mark.parametrize("place", ["here", "home", "xdg", "named"])
def test_the_file_is_found_where_the_documentation_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "here": tmp_path / "farm.yml",
        "home": tmp_path / "home/.config/farm/farm.yml",
        "xdg": tmp_path / "xdg/farm/farm.yml",
        "named": tmp_path / "other.yml",
    }
    files[place].parent.mkdir(parents=True, exist_ok=True)
    files[place].write_text("org: found\n")
    environ = {"HOME": str(tmp_path / "home")}
    environ |= {"XDG_CONFIG_HOME": str(tmp_path / "xdg")} if place == "xdg" else {}
    environ |= {"FARM_CONFIG": str(files[place])} if place == "named" else {}
    assert load_settings({}, environ=environ).org == "found"


def test_the_nearest_file_is_the_only_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".config/farm").mkdir(parents=True)
    (tmp_path / ".config/farm/farm.yml").write_text("org: far\nlease: 9\n")
    (tmp_path / "farm.yml").write_text("org: near\n")
    made = load_settings({}, environ={"HOME": str(tmp_path)})
    assert (made.org, made.lease) == ("near", Settings().lease)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("0.5", 0.5), ("30s", 30.0), ("5m", 300.0), ("4h", 14400.0), ("7d", 604800.0)],
)
def test_time_is_given_in_seconds_or_with_its_unit(tmp_path: Path, text: str, seconds: float) -> None:
    assert loaded(tmp_path, f"lease: {text}\n").lease == seconds
    assert loaded(tmp_path, FARM_LEASE=text).lease == seconds


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("FARM_CONCURRENCY", "many", "must be a whole number"),
        ("FARM_FLOWER_PORT", "many", "must be a whole number"),
        ("FARM_LEASE", "soon", "must be seconds, or a number with s, m, h or d, such as 90 or 4h"),
        ("FARM_CACHE_KEEP", "much", "must be bytes, such as 500MB or 20GiB"),
        ("FARM_CACHE_KEEP", "inf", "must be bytes, such as 500MB or 20GiB"),
        ("FARM_BUILD_ARGS", "{", "must be KEY=VALUE, or a JSON object"),
    ],
)
def test_what_a_number_must_be_is_said_in_our_own_words(
    tmp_path: Path, variable: str, text: str, told: str
) -> None:
    given: dict[str, Any] = {variable: text}
    assert refusal(tmp_path, **given) == f"{variable}: {text!r} cannot be used: {told}"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "5w", "m", "inf", "nan", "1e30", "true", "[1]"])
def test_what_is_no_time_is_refused(tmp_path: Path, text: str) -> None:
    assert "lease: " in refusal(tmp_path, f"lease: {text}\n")


@pytest.mark.parametrize("text", ["-1", "inf", "1e400", "5 stones", "MiB"])
def test_what_is_no_size_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, FARM_CACHE_KEEP=text).startswith(f"FARM_CACHE_KEEP: '{text}' cannot be used")


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many"])
def test_what_is_no_count_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, FARM_CONCURRENCY=text).startswith(f"FARM_CONCURRENCY: '{text}' cannot be used")


def test_a_port_beyond_the_last_one_is_refused(tmp_path: Path) -> None:
    assert "must be 65535 or less" in refusal(tmp_path, flags={"flower_port": "65536"})
    assert loaded(tmp_path, flags={"flower_port": "65535"}).flower_port == 65535


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("Yes", True),
        ("on", True),
        ("1", True),
        ("False", False),
        ("no", False),
        ("off", False),
    ],
)
def test_truth_has_its_usual_names(tmp_path: Path, text: str, value: bool) -> None:
    assert loaded(tmp_path, FARM_EMULATE=text).emulate is value
    assert loaded(tmp_path, f"emulate: {text}\n").emulate is value


def test_what_is_neither_true_nor_false_is_refused(tmp_path: Path) -> None:
    assert "must be true or false" in refusal(tmp_path, FARM_SIGN="maybe")


def test_words_are_a_list_or_stand_between_commas(tmp_path: Path) -> None:
    wanted = ("amd64", "arm64")
    assert loaded(tmp_path, "arches: [amd64, arm64]\n").arches == wanted
    assert loaded(tmp_path, "arches: amd64,arm64\n").arches == wanted
    assert loaded(tmp_path, FARM_ARCHES=" amd64 , arm64 ,").arches == wanted


def test_a_farm_without_any_architecture_is_refused(tmp_path: Path) -> None:
    assert "names no architecture" in refusal(tmp_path, "arches: []\n")


def test_pairs_are_a_mapping_or_stand_between_commas(tmp_path: Path) -> None:
    wanted = (("A", "1"), ("B", "x=y"))
    assert loaded(tmp_path, "build-args: {A: '1', B: x=y}\n").build_args == wanted
    assert loaded(tmp_path, FARM_BUILD_ARGS="A=1,B=x=y").build_args == wanted
    assert loaded(tmp_path, FARM_BUILD_ARGS='{"A": "1", "B": "x=y"}').build_args == wanted


@pytest.mark.parametrize("text", ["A", "A=1,B", "=1", '{"A": 1}', '{"A"'])
def test_what_is_no_pair_is_refused(tmp_path: Path, text: str) -> None:
    assert "FARM_BUILD_ARGS" in refusal(tmp_path, FARM_BUILD_ARGS=text)


def test_a_builder_is_named_for_a_platform(tmp_path: Path) -> None:
    wanted = (("linux/arm64", "far"),)
    assert loaded(tmp_path, "builders: {linux/arm64: far}\n").builders == wanted
    assert loaded(tmp_path, FARM_BUILDERS="linux/arm64=far").builders == wanted
    assert "must be linux/ARCH=NAME" in refusal(tmp_path, FARM_BUILDERS="arm64=far")


def test_a_builder_that_there_is_not_is_refused(tmp_path: Path) -> None:
    assert "must be one of auto, engine, buildx" in refusal(tmp_path, "builder: kaniko\n")


def test_a_cache_that_packages_would_overwrite_for_each_other_is_refused(tmp_path: Path) -> None:
    assert "must hold {name} and {arch}" in refusal(tmp_path, "build-cache-to: example.org/cache\n")
    kept = loaded(tmp_path, "build-cache-to: 'example.org/{name}:{arch}'\n").build_cache_to
    assert kept == ("example.org/{name}:{arch}",)


@pytest.mark.parametrize(
    ("text", "sbom", "provenance"),
    [("true", "true", "min"), ("no", None, None), ("max", "max", "max"), ("'min'", "min", "min")],
)
def test_attestations_are_switched_on_or_described(
    tmp_path: Path, text: str, sbom: str | None, provenance: str | None
) -> None:
    assert loaded(tmp_path, f"sbom: {text}\n").sbom == sbom
    assert loaded(tmp_path, f"provenance: {text}\n").provenance == provenance


def test_how_much_an_image_attests_is_one_of_two(tmp_path: Path) -> None:
    assert "must be min, max or false" in refusal(tmp_path, FARM_PROVENANCE="all")


def test_a_home_directory_is_written_as_in_a_shell(tmp_path: Path) -> None:
    assert loaded(tmp_path, "signing-key: ~/key.pem\n").signing_key == Path.home() / "key.pem"
    assert "no such user" in refusal(tmp_path, "signing-key: ~nobody-of-this-name/key.pem\n")


@pytest.mark.parametrize(
    "line",
    ["signing-passphrase: 0123", "org: 2024-01-01", "org: [a]", "engine: {a: b}", "state-dir: 5",
     "build-args: {GO: 1.20}", "arches: {amd64: arm64}", "flower-user: yes"],
)  # fmt: skip
def test_what_yaml_made_something_else_of_is_refused_and_never_guessed(tmp_path: Path, line: str) -> None:
    key = line.partition(":")[0]
    assert "must be text, in quotes" in (told := refusal(tmp_path, f"{line}\n"))
    assert f"farm.yml: {key}: " in told


def test_a_secret_that_cannot_be_used_is_not_told(tmp_path: Path) -> None:
    assert "83417" not in refusal(tmp_path, "signing-passphrase: 83417\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("orgg: a\n", "unknown setting orgg (did you mean org?)"),
        ("http_timout: 3\n", "unknown setting http_timout (did you mean http-timeout?)"),
        ("zzz: a\n", "see `farm doctor --settings`"),
        ("5: a\n", "unknown setting 5"),
        ("- a\n", "must be a mapping"),
        ("org: a\nlease: 9\norg: b\n", "farm.yml:3: org: stands twice, first in line 1"),
        ("org: 2024-13-45\n", "bad YAML"),
        ("a: [\n", "bad YAML"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_where(tmp_path: Path, text: str, told: str) -> None:
    answer = refusal(tmp_path, text)
    assert told in answer
    assert answer.startswith(str(tmp_path / "farm.yml"))


def test_a_file_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "farm.yml").write_bytes(b"org: \xff\xfe\n")
    with pytest.raises(SettingsError, match="bad YAML"):
        load_settings({}, config=tmp_path / "farm.yml", environ={})


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({}, environ={"FARM_CONFIG": str(tmp_path / "none.yml")})


def test_a_misspelt_variable_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    assert "unknown setting FARM_CONCURENCY (did you mean FARM_CONCURRENCY?)" in refusal(
        tmp_path, FARM_CONCURENCY="2"
    )


def test_nothing_shows_a_secret_but_asking_for_it(tmp_path: Path) -> None:
    made = loaded(tmp_path, FARM_SIGNING_PASSPHRASE="hush-1", FARM_BROKER="redis://:hush-2@h/0")
    assert "hush" not in f"{made!r} {made} {made.broker}"
    assert made.signing_passphrase is not None
    assert made.signing_passphrase.reveal() == "hush-1"


def test_equal_secrets_are_equal_and_differ_from_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def in_child(settings: Settings, monkeypatch: pytest.MonkeyPatch, cwd: Path, **parent: str) -> Settings:
    """The settings of a child that is started in a directory with a farm.yml of its own."""
    for key, value in parent.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(cwd)
    return load_settings({}, environ=child_environment(settings))


def test_a_child_has_the_settings_of_its_parent_whatever_lies_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that says the default beats the file and the foreign variable for the worker too."""
    (tmp_path / "farm.yml").write_text("sign: false\norg: other\nsigning-passphrase: 'not for builders'\n")
    foreign = {"DOCKER_CONTENT_TRUST_SERVER": "https://other", "FARM_LEASE": "9", "DOCKER_HOST": "unix:///x"}
    wanted = replace(Settings(), engine="unix:///mine", build_args=(("GOFLAGS", "-a, -b"), ("EMPTY", "")))
    assert in_child(wanted, monkeypatch, tmp_path, **foreign) == wanted


def test_a_child_is_given_no_secret_that_its_settings_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = (
        "FARM_SIGNING_PASSPHRASE",
        "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE",
        "FARM_ROOT_PASSPHRASE",
    )
    for name in variables:
        monkeypatch.setenv(name, "hush")
    monkeypatch.chdir(tmp_path)
    assert "hush" not in child_environment(Settings()).values()


def test_a_child_keeps_what_is_not_the_farms_and_gets_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    made = child_environment(Settings(), {"FLOWER_PORT": "1"})
    assert (made["HTTPS_PROXY"], made["FLOWER_PORT"]) == ("http://proxy", "1")


def test_only_named_variables_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "here")
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    assert environment(["NO_PROXY", "HTTP_PROXY"]) == {"NO_PROXY": "here"}


def test_the_example_file_names_every_setting_with_its_default(tmp_path: Path) -> None:
    """Each commented key of config/farm.yml, uncommented, changes nothing."""
    lines = (ROOT / "config" / "farm.yml").read_text().splitlines()
    keys = [
        line[2:]
        for line in lines
        if line.startswith("# ") and line[2:].split(":")[0].replace("-", "_") in FIELDS
    ]
    assert {key.split(":")[0].replace("-", "_") for key in keys} == set(FIELDS)
    assert yaml.safe_load("\n".join(keys))["org"] is None
    assert loaded(tmp_path, "\n".join(keys)) == Settings()


def test_linuxkits_variables_are_read_below_the_farms(tmp_path: Path) -> None:
    theirs: dict[str, Any] = {
        "LINUXKIT_PKG_ORG": "theirs",
        "LINUXKIT_CACHE": "/theirs",
        "LINUXKIT_MIRROR": "a.org=http://m/x,https://all",
    }
    settings = loaded(tmp_path, **theirs)
    assert (settings.org, str(settings.cache)) == ("theirs", "/theirs")
    assert settings.mirrors == (("a.org", "http://m/x"), ("*", "https://all"))
    assert loaded(tmp_path, **theirs, FARM_ORG="ours").org == "ours"


@pytest.mark.parametrize("text", ["a.org=m", "ftp://m", "a.org=https://m?x", "a.org="])
def test_what_is_no_mirror_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        loaded(tmp_path, LINUXKIT_MIRROR=text)


def test_linuxkits_passphrase_command_gives_way_to_all_else(tmp_path: Path) -> None:
    folder = tmp_path / ".moby" / "linuxkit"
    folder.mkdir(parents=True)
    home: dict[str, Any] = {"HOME": str(tmp_path)}
    (folder / "config.yml").write_text("pkg:\n  content-trust-passphrase-command: pass show x | head -1\n")
    assert loaded(tmp_path, **home).signing_passphrase_command == "/bin/sh -c 'pass show x | head -1'"
    ours = loaded(tmp_path, **home, FARM_SIGNING_PASSPHRASE_COMMAND="ours")
    assert ours.signing_passphrase_command == "ours"
    (folder / "config.yml").write_text("other: {}\n")
    assert loaded(tmp_path, **home).signing_passphrase_command is None
    (folder / "config.yml").write_text("[")
    with pytest.raises(SettingsError, match="bad YAML"):
        loaded(tmp_path, **home)
