"""Flags: what a verb is called with, and how the command reports errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from farm.cli import main
from farm.cli.main import VERBS, Invocation
from farm.cli.options import build_and_publish_options, make_push_options, tag_options, with_settings
from farm.cli.output import print_json
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
        runner, invocation = (
            CliRunner(env={"FARM_ORG": None, "USER": "ann"}),
            Invocation(tmp_path / "farm.yml"),
        )
        return json.loads(runner.invoke(probe, words, obj=invocation, catch_exceptions=False).stdout)

    return call


def test_a_flag_overrides_the_file_only_when_it_is_given(call_probe: Any) -> None:
    assert call_probe()["org"] == "filed"
    assert call_probe("--org", "given")["org"] == "given"
    assert [call_probe(*flags)["sign"] for flags in ([], ["--sign"], ["--no-sign"])] == [True, True, False]


def test_tag_options_and_push_options_are_passed_with_the_arguments(call_probe: Any) -> None:
    words = "a b --tag v-{{.Hash}} --dev --only amd64,arm64 --only s390x --force --partial"
    made = call_probe(*words.split())
    assert (made["words"], made["tag"], made["dev"], made["user"]) == (["a", "b"], "v-{{.Hash}}", True, "ann")
    assert (made["only"], made["force"]) == (["amd64", "arm64", "s390x"], True)


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


@pytest.mark.parametrize(
    ("only", "partial", "site", "error"),
    [
        (("arm64",), False, ("amd64",), "an incomplete index is not published"),
        (("amd65",), True, ("amd64",), "unknown architecture"),
        ((), True, ("x86_64",), "unknown architecture"),
        (("",), True, ("amd64",), "unknown architecture"),
    ],
)
def test_only_requires_partial_and_every_architecture_is_a_known_one(
    only: tuple[str, ...], partial: bool, site: tuple[str, ...], error: str
) -> None:
    with pytest.raises(InputError, match=error):
        push_options(*only, partial=partial, arches=site)


@pytest.fixture(params=VERBS)
def command(request: pytest.FixtureRequest) -> click.Command:
    """Each verb."""
    found = main.cli.get_command(click.Context(main.cli), request.param)
    assert found is not None
    assert found.name == request.param
    return found


def test_every_flag_of_a_setting_names_its_variable(command: click.Command) -> None:
    flags = {f"--{name.replace('_', '-')}": name for name in FIELDS}
    options = [option for option in command.params if isinstance(option, click.Option)]
    named = {flags[flag]: str(option.help) for option in options for flag in option.opts if flag in flags}
    assert all(f"[FARM_{name.upper()}]" in about for name, about in named.items())


def test_every_verb_is_described_in_one_sentence(command: click.Command) -> None:
    assert VERBS[str(command.name)][1].endswith(".")


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (
            TrustDeniedError("the key\ncannot be opened", hint="which passphrase?"),
            4,
            "farm: the key cannot be opened (which passphrase?)\n",
        ),
        (combine([InputError("one", hint="do"), InputError("two")]), 2, "farm: one (do)\nfarm: two\n"),
        (
            ZeroDivisionError("by nought"),
            1,
            "farm: internal error: ZeroDivisionError: by nought (add --debug for the traceback)\n",
        ),
        (KeyboardInterrupt(), 130, "\nfarm: interrupted\n"),
    ],
    ids=["one", "several", "internal", "interrupt"],
)
def test_each_error_is_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command("down")
    def fails() -> None:
        raise error

    monkeypatch.setattr("farm.cli.up.down", fails)
    assert main.run(["down"]) == code
    assert capsys.readouterr() == ("", printed)


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


@pytest.mark.parametrize(
    ("words", "named"),
    [("pusch", "pusch"), ("push --sing a", "--sign"), ("manifest --force pkg", "--force")],
    ids=["verb", "flag", "a verb that builds nothing takes no --force"],
)
def test_an_unknown_verb_or_flag_exits_with_2(
    words: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words.split()) == 2
    assert named in capsys.readouterr().err
