"""Flags: what a verb is handed, and how the command tells mistakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from farm.cli import main
from farm.cli.main import VERBS, Invocation
from farm.cli.options import print_json, tag_options, with_settings
from farm.cli.push_options import Wishes, wish_options
from farm.errors import InputError, TrustDeniedError, combine
from farm.planning.push_options import PushOptions
from farm.settings import FIELDS, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from farm.package.tag_options import TagOptions


@click.command("probe")
@click.argument("words", nargs=-1)
@with_settings("org", "sign", "arches")
@tag_options
@wish_options
def probe(settings: Settings, words: tuple[str, ...], tags: TagOptions, wishes: Wishes) -> None:
    """A verb that shows what it is handed."""
    facts = {"org": settings.org, "sign": settings.sign, "arches": settings.arches, "words": words}
    print_json(
        facts
        | {"tag": tags.tag, "dev": tags.dev, "user": tags.user, "only": wishes.only, "force": wishes.force}
    )


@pytest.fixture
def handed(tmp_path: Path) -> Any:
    """Runs the probe; gives what it was handed."""
    (tmp_path / "farm.yml").write_text("org: filed\n")

    def call(*words: str) -> Any:
        invocation = Invocation(tmp_path / "farm.yml", debug=False)
        answer = CliRunner(env={"FARM_ORG": None, "USER": "ann"}).invoke(
            probe, words, obj=invocation, catch_exceptions=False
        )
        return json.loads(answer.stdout)

    return call


def test_a_flag_beats_the_file_and_what_is_not_given_beats_nothing(handed: Any) -> None:
    assert handed()["org"] == "filed"
    assert handed("--org", "given")["org"] == "given"
    assert [handed(*flags)["sign"] for flags in ([], ["--sign"], ["--no-sign"])] == [True, True, False]


def test_flags_of_tags_and_wishes_arrive_beside_the_arguments(handed: Any) -> None:
    made = handed(
        "a", "b", "--tag", "v-{{.Hash}}", "--dev", "--only", "amd64,arm64", "--only", "s390x", "--force"
    )
    assert (made["words"], made["tag"], made["dev"], made["user"]) == (["a", "b"], "v-{{.Hash}}", True, "ann")
    assert (made["only"], made["force"]) == (["amd64", "arm64", "s390x"], True)


def test_a_verb_that_builds_nothing_takes_no_force(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["manifest", "--force", "pkg"]) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "signs"), [("push", True), ("manifest", True), ("plan", False), ("inspect", False)]
)
def test_sign_says_what_it_does_with_a_verb(
    verb: str, signs: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run([verb, "--help"])
    assert ("Sign what is published" in capsys.readouterr().out) == signs


def wish(*only: str, partial: bool = False, **settings: Any) -> PushOptions:
    return Wishes(only, force=False, partial=partial).to_wish(Settings(**settings))


def test_a_wish_takes_architectures_and_signing_from_the_settings() -> None:
    assert wish(arches=("amd64",), sign=False) == PushOptions(("amd64",), sign=False)
    assert wish("arm64", partial=True).only == ("arm64",)


def test_leaving_an_architecture_out_must_be_said_twice() -> None:
    with pytest.raises(InputError, match="never published in part"):
        wish("arm64")


@pytest.mark.parametrize(("only", "site"), [(("amd65",), ("amd64",)), ((), ("x86_64",)), (("",), ("amd64",))])
def test_an_architecture_that_does_not_exist_is_refused(only: tuple[str, ...], site: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="is no architecture"):
        wish(*only, partial=True, arches=site)


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_a_setting_names_its_variable(verb: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), verb)
    assert command is not None
    flags = {f"--{name.replace('_', '-')}": name for name in FIELDS}
    options = [option for option in command.params if isinstance(option, click.Option)]
    named = {flags[flag]: str(option.help) for option in options for flag in option.opts if flag in flags}
    assert all(f"[FARM_{name.upper()}]" in about for name, about in named.items())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_told_in_one_sentence(verb: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), verb)
    assert command is not None
    assert command.name == verb
    assert VERBS[verb][1].endswith(".")


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> tuple[int, str]:
    """How the command ends when its verb raises this, and that it prints nothing for a program to read."""

    @click.command("down")
    def fails() -> None:
        raise error

    monkeypatch.setattr("farm.cli.down.command", fails)
    code = main.run(["down"])
    printed = capsys.readouterr()
    assert printed.out == ""
    return code, printed.err


def test_an_error_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = TrustDeniedError("the key\ncannot be opened", hint="which passphrase?")
    assert told(monkeypatch, capsys, error) == (4, "farm: the key cannot be opened (which passphrase?)\n")


def test_errors_of_several_packages_are_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = combine([InputError("one", hint="do"), InputError("two")])
    assert told(monkeypatch, capsys, error) == (2, "farm: one (do)\nfarm: two\n")


def test_a_defect_is_told_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(monkeypatch, capsys, ZeroDivisionError("by nought"))
    assert code == 1
    assert text.startswith("farm: internal error: ZeroDivisionError: by nought")
    assert len(text.splitlines()) == 1


def test_with_json_a_program_reads_the_error_where_it_reads_all_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_CONCURRENCY", "many")
    assert main.run(["status", "--json"]) == 2
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert error == {
        "kind": "SettingsError",
        "message": "FARM_CONCURRENCY: invalid value 'many': must be a whole number",
        "hint": None,
    }
    assert printed.err == f"farm: {error['message']}\n"


def test_with_json_a_wrong_use_is_an_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["plan", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], "DIR" in error["message"]) == ("InputError", True)


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(monkeypatch, capsys, KeyboardInterrupt())[0] == 130


def test_a_verb_or_flag_that_does_not_exist_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["pusch"]) == 2
    assert main.run(["push", "--sing", "a"]) == 2
    assert "--sign" in capsys.readouterr().err
