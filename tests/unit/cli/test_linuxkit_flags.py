"""Every verb and flag of `linuxkit pkg` and `cache` is taken by `farm`: those of the recorded release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest

from farm.cli import main
from tests.support.linuxkit_help import RECORDED

if TYPE_CHECKING:
    from pathlib import Path

VERBS: dict[str, dict[str, str]] = json.loads(RECORDED.read_text())["verbs"]


def command(verb: str) -> click.Command:
    """The command of farm for a verb such as `cache push`."""
    found: Any = main.cli
    for name in verb.split():
        found = found.get_command(click.Context(found), name)
        assert found is not None, f"farm has no {verb}"
    assert isinstance(found, click.Command)
    return found


@pytest.mark.parametrize(("verb", "flag"), [(verb, flag) for verb in VERBS for flag in VERBS[verb]])
def test_each_flag_of_linuxkit_is_taken_with_a_value_where_it_has_one(verb: str, flag: str) -> None:
    (option,) = (one for one in command(verb).params if flag in one.opts)
    boolean = option.type is click.BOOL or getattr(option, "is_flag", False)
    assert boolean == (VERBS[verb][flag] == "bool")


@pytest.mark.parametrize("words", ["pkg help", "pkg help build", "cache help push", "help pkg show-tag"])
def test_help_may_be_a_verb(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words.split()) == 0
    verb = " ".join(word for word in words.split() if word != "help")
    assert capsys.readouterr().out.startswith(f"Usage: farm {verb} [OPTIONS]")


@pytest.mark.parametrize(
    ("words", "noted"),
    [
        ("-v 2 --cache {} cache ls", "--verbose"),
        ("cache -cache={} ls -q", "--quiet"),
        ("--mirror=https://m cache ls --cache {}", "--mirror"),
        ("cache --cert-file=/ca verify --json=false --cache={}", "--cert-file"),
    ],
)
def test_the_flags_of_every_command_may_stand_anywhere_and_are_noted_without_effect(
    words: str, noted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words.format(tmp_path).split()) == 0
    assert capsys.readouterr().err.startswith(f"note: {noted}: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cache export a --outfile - --arch amd64 --platform linux/amd64", "exclude each other"),
        ("cache export a --outfile - --platform windows/amd64", "unknown platform 'windows/amd64'"),
        ("cache push a b --remote-name c", "several images cannot have one name"),
        ("pkg builder rm", "'rm' is not one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words.split()) == 2
    assert said in capsys.readouterr().err
