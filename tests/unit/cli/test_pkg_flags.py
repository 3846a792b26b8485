"""The flags that all verbs of `farm pkg` share come to settings and packages as they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest

from farm.cli.main import Invocation
from farm.cli.pkg.build_flags import take_builders
from farm.cli.pkg.flags import verb
from farm.errors import InputError
from farm.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from farm.cli.pkg.flags import Asked


def ask(tmp_path: Path, *words: str, name: str = "any") -> Asked:
    """What the flags come to."""
    (tmp_path / "farm.yml").write_text("sign: false\norg: site\n")
    asked: list[Asked] = []

    @verb(name)
    def command(given: Asked) -> None:
        asked.append(given)

    context = click.Context(click.Group(), obj=Invocation(tmp_path / "farm.yml", False))
    command.main(list(words), parent=context, standalone_mode=False)
    return asked[0]


@pytest.mark.parametrize(
    ("words", "sign", "distrusted"),
    [
        ((), False, None),
        (("-disable-content-trust",), False, True),
        (("-disable-content-trust=false",), True, False),
        (("-enable-content-trust",), True, False),
        (("-enable-content-trust=false",), False, True),
    ],
)
def test_content_trust_is_what_the_flags_say(
    tmp_path: Path, words: tuple[str, ...], sign: bool, distrusted: bool | None
) -> None:
    asked = ask(tmp_path, *words)
    assert (asked.settings.sign, asked.tags.disable_content_trust) == (sign, distrusted)


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("-network", "network", True),
        ("-network=false", "network", False),
        ("-nonetwork", "network", False),
        ("-nonetwork=false", "network", True),
        ("-disable-cache", "disable_cache", True),
        ("-enable-cache", "disable_cache", False),
        ("-enable-cache=false", "disable_cache", True),
        ("-org=other", "org", "other"),
        ("-dev", "dev", True),
    ],
)
def test_a_flag_and_its_contrary_say_the_same_the_other_way_round(
    tmp_path: Path, word: str, field: str, value: Any
) -> None:
    assert getattr(ask(tmp_path, word).tags, field) == value


@pytest.mark.parametrize(
    "words",
    [
        ("-network", "-nonetwork=false"),
        ("-disable-cache", "-enable-cache"),
        ("-disable-content-trust", "-enable-content-trust"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        ask(tmp_path, *words)


def test_lists_come_from_flags_that_are_given_many_times(tmp_path: Path) -> None:
    words = (
        "-mirror",
        "a.org=http://m",
        "-mirror=https://all",
        "-registry-creds=a.org=u:p",
        "-cert-file=/ca",
    )
    settings = ask(tmp_path, *words).settings
    assert settings.mirrors == (("a.org", "http://m"), ("*", "https://all"))
    assert settings.registry_creds
    assert [str(path) for path in settings.registry_ca] == ["/ca"]


@pytest.mark.parametrize(
    ("name", "word", "told"),
    [
        ("show-tag", "-network", "note: --network: show-tag has no use for it"),
        ("push", "-mirror=https://m", "note: --mirror: push has no use for it"),
        ("remote-tag", "-org=other", "note: --org: remote-tag has no use for it"),
        ("show-tag", "-org=other", ""),
        ("remote-tag", "-hash-commit=HEAD", ""),
        ("push", "-network", ""),
    ],
)
def test_a_flag_that_a_verb_has_no_use_for_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, word: str, told: str
) -> None:
    ask(tmp_path, word, name=name)
    assert capsys.readouterr().err.strip() == told


def builders(**own: Any) -> Settings:
    """What the flags of a build make of settings that name builders, a key and a generator."""
    named = (("linux/arm64", "set"), ("linux/s390x", "set"))
    given = {"builders": None, "ssh": (), "sbom_scanner": None} | own
    return take_builders(given, Settings(builders=named, build_ssh=("set",), sbom="set"))


def test_builders_of_a_flag_beat_settings_and_those_beat_linuxkits_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINUXKIT_BUILDERS", "linux/s390x=variable,linux/amd64=variable")
    found = dict(builders(builders="linux/arm64=flag").builders)
    assert found == {"linux/arm64": "flag", "linux/s390x": "set", "linux/amd64": "variable"}
    with pytest.raises(InputError, match=r"^--builders: 'arm64=x' must be linux/ARCH=NAME"):
        builders(builders="arm64=x")


@pytest.mark.parametrize(
    ("flag", "sbom"), [(None, "set"), ("false", None), ("", "true"), ("r.org/scan:1", "r.org/scan:1")]
)
def test_a_scanner_is_the_one_of_the_flag_and_buildkits_own_where_it_is_blank(
    flag: str | None, sbom: str | None
) -> None:
    assert builders(sbom_scanner=flag).sbom == sbom


def test_keys_of_a_flag_take_the_place_of_those_of_the_settings() -> None:
    assert builders().build_ssh == ("set",)
    assert builders(ssh=("default", "k=/a,/b")).build_ssh == ("default", "k=/a,/b")
