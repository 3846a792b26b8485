"""farm doctor: check everything that the farm needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_answer
from farm.settings import FIELDS, FROM_REPOSITORY, shown_value

if TYPE_CHECKING:
    from farm.settings import Settings


@click.command("doctor")
@with_settings(
    "broker",
    "engine",
    "org",
    "notary_server",
    "notary_ca",
    "signing_key",
    "cosign_key",
    "cosign_public_key",
    "sign",
    sign="check what signing needs",
)
@click.option(
    "--settings", "list_settings", is_flag=True, help="List every setting with its variable and its value."
)
@json_option
@click.pass_context
def command(ctx: click.Context, settings: Settings, list_settings: bool, as_json: bool) -> int:
    """Check each part that the farm needs, and print what was found or what to do.

    The exit code is that of the first check that fails: 3 for a service that cannot be reached, 4 for a login
    or key that was refused.
    """
    if list_settings:
        _print_settings(settings, as_json=as_json)
        return 0
    from farm.diagnosis.checks import examine, exit_code

    findings = examine(settings)
    if ctx.obj.debug:
        import traceback

        for error in (finding.error for finding in findings):
            if error and error.__cause__:
                traceback.print_exception(error.__cause__)
    lines = (
        f"{'FAIL' if finding.error else 'ok':<5} {finding.part:<12} {finding.error or finding.found}"
        for finding in findings
    )
    print_answer([finding.to_json() for finding in findings], lines, as_json=as_json)
    return exit_code(findings)


def _print_settings(settings: Settings, *, as_json: bool) -> None:
    values, lines = {}, []
    for name, item in FIELDS.items():
        key, value = name.replace("_", "-"), getattr(settings, name)
        shown = shown_value(name, value)
        values[key] = json_value(shown)
        also = ", ./farm.yml too" if name in FROM_REPOSITORY else ""
        lines.append(f"# {item.metadata['about']} [FARM_{name.upper()}{also}]")
        lines.append(yaml_line(key, shown, hidden=shown != value))
    print_answer(values, lines, as_json=as_json)


def json_value(value: Any) -> Any:
    """The value of a setting as JSON: mappings, lists, numbers and booleans as such, paths as text."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple) and any(isinstance(item, tuple) for item in value):
        return dict(value)
    return [json_value(item) for item in value] if isinstance(value, tuple) else value


def yaml_line(key: str, value: Any, *, hidden: bool = False) -> str:
    """A setting as a line of farm.yml, its value as JSON, which is YAML too; as a comment if it is hidden."""
    if value is None:
        return f"{key}:"
    text = json.dumps(json_value(value), ensure_ascii=False)
    return f"{'# ' if hidden else ''}{key}: {text}"
