"""Flags: what a verb is called with, and how the command reports errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from farm.cli import main
from farm.cli.invocation import Invocation
from farm.cli.main import VERBS
from farm.cli.options import tag_options, with_settings
from farm.cli.output import print_json
from farm.cli.push_flags import build_and_publish_options, make_push_options
from farm.errors import InputError, TrustDeniedError, combine
from farm.planning.plan import PushOptions
from farm.settings import FIELDS, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from farm.package.tags import TagOptions


@click.command("probe")
@click.argument("words", nargs=-1)
@with_settings("org", "sign", "arches")
@tag_options
@build_and_publish_options
def probe(settings: Settings, words: tuple[str, ...], tags: TagOptions, options: PushOptions) -> None:
    """A verb that prints what it is called with."""
    facts = {"org": settings.org, "sign": settings.sign, "arches": settings.arches, "words": words}
    facts |= {"tag": tags.tag, "dev": tags.dev, "user": tags.user}
    print_json(facts | {"only": options.only, "force": options.force})


@pytest.fixture
def call_probe(tmp_path: Path) -> Any:
    """Runs the probe, and returns what it was called with."""
    (tmp_path / "farm.yml").write_text("org: filed\n")

    def call(*words: str) -> Any:
        invocation = Invocation(tmp_path / "farm.yml")
        answer = CliRunner(env={"FARM_ORG": None, "USER": "ann"}).invoke(
            probe, words, obj=invocation, catch_exceptions=False
        )
        return json.loads(answer.stdout)

    return call


def test_a_flag_overrides_the_file_only_when_it_is_given(call_probe: Any) -> None:
    assert call_probe()["org"] == "filed"
    assert call_probe("--org", "given")["org"] == "given"
    assert [call_probe(*flags)["sign"] for flags in ([], ["--sign"], ["--no-sign"])] == [True, True, False]


def test_tag_options_and_push_options_are_passed_with_the_arguments(call_probe: Any) -> None:
    made = call_probe(
        "a",
        "b",
        "--tag",
        "v-{{.Hash}}",
        "--dev",
        "--only",
        "amd64,arm64",
        "--only",
        "s390x",
        "--force",
        "--partial",
    )
    assert (made["words"], made["tag"], made["dev"], made["user"]) == (["a", "b"], "v-{{.Hash}}", True, "ann")
    assert (made["only"], made["force"]) == (["amd64", "arm64", "s390x"], True)


def test_a_verb_that_builds_nothing_takes_no_force(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["manifest", "--force", "pkg"]) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "signs"), [("push", True), ("manifest", True), ("plan", False), ("inspect", False)]
)
def test_the_help_of_sign_depends_on_the_verb(
    verb: str, signs: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run([verb, "--help"])
    assert ("Sign what is published" in capsys.readouterr().out) == signs


def push_options(*only: str, partial: bool = False, **settings: Any) -> PushOptions:
    return make_push_options(Settings(**settings), only=only, partial=partial)


def test_push_options_take_architectures_and_signing_from_the_settings() -> None:
    assert push_options(arches=("amd64",), sign=False) == PushOptions(("amd64",), sign=False)
    assert push_options("arm64", partial=True).only == ("arm64",)


def test_only_requires_partial() -> None:
    with pytest.raises(InputError, match="an incomplete index is not published"):
        push_options("arm64")


@pytest.mark.parametrize(("only", "site"), [(("amd65",), ("amd64",)), ((), ("x86_64",)), (("",), ("amd64",))])
def test_an_unknown_architecture_is_refused(only: tuple[str, ...], site: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="unknown architecture"):
        push_options(*only, partial=True, arches=site)


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_a_setting_names_its_variable(verb: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), verb)
    assert command is not None
    flags = {f"--{name.replace('_', '-')}": name for name in FIELDS}
    options = [option for option in command.params if isinstance(option, click.Option)]
    named = {flags[flag]: str(option.help) for option in options for flag in option.opts if flag in flags}
    assert all(f"[FARM_{name.upper()}]" in about for name, about in named.items())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_described_in_one_sentence(verb: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), verb)
    assert command is not None
    assert command.name == verb
    assert VERBS[verb][1].endswith(".")


def outcome_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> tuple[int, str]:
    """The exit code and the error output of a verb that raises this; standard output must be empty."""

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
    assert outcome_of(monkeypatch, capsys, error) == (
        4,
        "farm: the key cannot be opened (which passphrase?)\n",
    )


def test_errors_of_several_packages_are_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = combine([InputError("one", hint="do"), InputError("two")])
    assert outcome_of(monkeypatch, capsys, error) == (2, "farm: one (do)\nfarm: two\n")


def test_an_unexpected_exception_is_reported_as_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = outcome_of(monkeypatch, capsys, ZeroDivisionError("by nought"))
    assert code == 1
    assert text.startswith("farm: internal error: ZeroDivisionError: by nought")
    assert len(text.splitlines()) == 1


def test_with_json_an_error_is_printed_on_standard_output_too(
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


def test_with_json_a_usage_error_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["plan", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], "DIR" in error["message"]) == ("InputError", True)


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome_of(monkeypatch, capsys, KeyboardInterrupt())[0] == 130


def test_an_unknown_verb_or_flag_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["pusch"]) == 2
    assert main.run(["push", "--sing", "a"]) == 2
    assert "--sign" in capsys.readouterr().err
