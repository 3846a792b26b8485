"""The flags of `farm pkg`: every spelling that some `linuxkit` accepted, as settings and tag options."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import pytest

from farm.cli.main import Invocation
from farm.cli.pkg.flag_checks import check_common_flags
from farm.cli.pkg.flag_spelling import move_flags_after_verb, normalize_flags
from farm.cli.pkg.flags import (
    BUILD_FLAGS,
    CANONICAL_FLAG,
    COMMON_FLAGS,
    PUSH_FLAG,
    PkgFlags,
)
from farm.cli.pkg.tags import remote_tag
from farm.cli.pkg.verbs import builder_settings, pkg_verb
from farm.errors import InputError
from farm.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from farm.cli.pkg.verbs import PkgRequest


def request(tmp_path: Path, *words: str, name: str = "any") -> PkgRequest:
    """What a verb is called with for these flags."""
    (tmp_path / "farm.yml").write_text("sign: false\norg: site\n")
    requests: list[PkgRequest] = []

    @pkg_verb(name)
    def command(given: PkgRequest) -> None:
        requests.append(given)

    context = click.Context(click.Group(), obj=Invocation(tmp_path / "farm.yml"))
    command.main(list(words), parent=context, standalone_mode=False)
    return requests[0]


@pytest.mark.parametrize(
    ("words", "sign", "distrusted"),
    [
        ([], False, None),
        (["-disable-content-trust"], False, True),
        (["-disable-content-trust=false"], True, False),
        (["-enable-content-trust"], True, False),
        (["-enable-content-trust=false"], False, True),
    ],
)
def test_the_content_trust_flags_override_the_settings(
    tmp_path: Path, words: list[str], sign: bool, distrusted: bool | None
) -> None:
    made = request(tmp_path, *words)
    assert (made.settings.sign, made.tags.disable_content_trust) == (sign, distrusted)


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
def test_a_flag_and_its_opposite_set_the_same_option(
    tmp_path: Path, word: str, field: str, value: Any
) -> None:
    assert getattr(request(tmp_path, word).tags, field) == value


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
        request(tmp_path, *words)


def test_repeated_flags_become_lists(tmp_path: Path) -> None:
    words = "-mirror a.org=http://m -mirror=https://all -registry-creds=a.org=u:p -cert-file=/ca"
    settings = request(tmp_path, *words.split()).settings
    assert settings.mirrors == (("a.org", "http://m"), ("*", "https://all"))
    assert settings.registry_creds
    assert [str(path) for path in settings.registry_ca] == ["/ca"]


@pytest.mark.parametrize(
    ("name", "word", "noted"),
    [
        ("show-tag", "-network", "note: --network: has no effect on show-tag"),
        ("push", "-mirror=https://m", "note: --mirror: has no effect on push"),
        ("remote-tag", "-org=other", "note: --org: has no effect on remote-tag"),
        ("show-tag", "-org=other", ""),
        ("remote-tag", "-hash-commit=HEAD", ""),
        ("push", "-network", ""),
    ],
)
def test_a_flag_that_a_verb_has_no_use_for_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, word: str, noted: str
) -> None:
    request(tmp_path, word, name=name)
    assert capsys.readouterr().err.strip() == noted


@pytest.mark.parametrize(
    ("flags", "noted"),
    [
        ({}, ["--cache", "--mirror"]),
        ({"nobuild": True}, ["--mirror"]),
        ({"nobuild": True, "image": False}, ["--cache", "--mirror"]),
        ({"docker": True}, []),
    ],
)
def test_the_flags_of_a_cache_are_noted_by_a_push_that_uses_none(
    flags: dict[str, Any], noted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    check_common_flags("push", PkgFlags(cache="x", mirror=("https://m",), **flags))
    expected = [f"note: {flag}: has no effect on push" for flag in noted]
    assert capsys.readouterr().err.splitlines() == expected


@pytest.mark.parametrize(
    ("word", "noted"), [("-release=v1", "note: --release: has no effect on remote-tag"), ("-release=", "")]
)
def test_a_release_is_noted_by_remote_tag_unless_it_is_blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, noted: str
) -> None:
    (tmp_path / "farm.yml").write_text("sign: false\n")
    context = click.Context(click.Group(), obj=Invocation(tmp_path / "farm.yml"))
    with pytest.raises(InputError, match="NOT-A-NAME"):
        remote_tag.main([word, "NOT-A-NAME", "b"], parent=context, standalone_mode=False)
    assert capsys.readouterr().err.strip() == noted


def test_every_flag_has_its_default_where_it_is_not_given() -> None:
    flags = [*COMMON_FLAGS, *BUILD_FLAGS, PUSH_FLAG, CANONICAL_FLAG]
    parsed = click.Command("any", params=flags).make_context("any", []).params
    assert parsed == asdict(PkgFlags())


def with_flags(**flags: Any) -> Settings:
    """Settings with builders, a key and an SBOM generator, overridden by the flags of a build."""
    builders = (("linux/arm64", "set"), ("linux/s390x", "set"))
    return builder_settings(PkgFlags(**flags), Settings(builders=builders, build_ssh=("set",), sbom="set"))


def test_the_builders_flag_overrides_the_setting_which_overrides_linuxkits_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINUXKIT_BUILDERS", "linux/s390x=variable,linux/amd64=variable")
    found = dict(with_flags(builders="linux/arm64=flag").builders)
    assert found == {"linux/arm64": "flag", "linux/s390x": "set", "linux/amd64": "variable"}
    with pytest.raises(InputError, match=r"^--builders: 'arm64=x' must be linux/ARCH=NAME"):
        with_flags(builders="arm64=x")


@pytest.mark.parametrize(
    ("flag", "sbom"), [(None, "set"), ("false", None), ("", "true"), ("r.org/scan:1", "r.org/scan:1")]
)
def test_the_scanner_flag_overrides_the_setting_and_blank_means_buildkits_own(
    flag: str | None, sbom: str | None
) -> None:
    assert with_flags(sbom_scanner=flag).sbom == sbom


def test_the_ssh_flag_overrides_the_setting() -> None:
    assert with_flags().build_ssh == ("set",)
    assert with_flags(ssh=("default", "k=/a,/b")).build_ssh == ("default", "k=/a,/b")


FLAGS = [*COMMON_FLAGS, *BUILD_FLAGS]


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("-org=wombat d", "--org=wombat d"),
        ("-org wombat d", "--org=wombat d"),
        ("--org wombat d", "--org=wombat d"),
        ("-docker d", "--docker=true d"),
        ("-docker=false d", "--docker=false d"),
        ("--docker=0 d", "--docker=0 d"),
        ("-dev -docker d", "--dev=true --docker=true d"),
        ("d -hash foo e", "d --hash=foo e"),
        ("-hash -dev d", "--hash=-dev d"),
        ("-tag={{.Hash}}-a=b d", "--tag={{.Hash}}-a=b d"),
        ("-org= d", "--org= d"),
        ("-q d", "--quiet=true d"),
        ("-v d", "--verbose=2 d"),
        ("-v 3 d", "--verbose=3 d"),
        ("-v=3 d", "--verbose=3 d"),
        ("-v3 d", "--verbose=3 d"),
        ("--verbose d", "--verbose=2 d"),
        ("-nosuch d", "--nosuch d"),
        ("-docker -- -dev", "--docker=true -- -dev"),
        ("- d", "- d"),
        ("-h", "-h"),
    ],
)
def test_every_spelling_of_a_flag_becomes_two_dashes_and_a_value(words: str, spelled: str) -> None:
    assert normalize_flags(words.split(" "), FLAGS) == spelled.split(" ")
    assert normalize_flags(spelled.split(" "), FLAGS) == spelled.split(" ")


def test_a_last_flag_without_its_value_is_refused() -> None:
    with pytest.raises(click.UsageError, match="lacks its value"):
        normalize_flags(["d", "-hash"], FLAGS)


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        ("-org wombat show-tag d", "show-tag --org=wombat d"),
        ("--org wombat -dev build -docker d", "build --org=wombat --dev=true --docker d"),
        ("-q -v 2 build d", "build --quiet=true --verbose=2 d"),
        ("show-tag -org wombat d", "show-tag --org=wombat d"),
        ("--help", "--help"),
    ],
)
def test_flags_before_the_verb_are_moved_after_it(words: str, ordered: str) -> None:
    assert move_flags_after_verb(words.split(), COMMON_FLAGS) == ordered.split()
