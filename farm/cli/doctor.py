"""farm doctor: check everything that the farm needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, print_json, with_settings
from farm.settings import FIELDS, Secret

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
    "sign",
    sign="look at what signing needs",
)
@click.option(
    "--settings", "list_settings", is_flag=True, help="List every setting, its variable and its value."
)
@json_option
@click.pass_context
def command(ctx: click.Context, settings: Settings, list_settings: bool, as_json: bool) -> int:
    """Look at each part that the farm needs, and say what is there or what to do.

    The exit code is that of the first part that fails: 3 for a service that does not answer, 4 for a login
    or key that is refused.
    """
    if list_settings:
        return _list(settings, as_json=as_json)
    import traceback  # noqa: PLC0415 - only here, and start-up time counts

    from farm.diagnosis.checks import examine, exit_code  # noqa: PLC0415 - it imports every client there is

    findings = examine(settings)
    for defect in (one.error.__cause__ for one in findings if ctx.obj.debug and one.error):
        traceback.print_exception(defect)
    if as_json:
        print_json([finding.to_json() for finding in findings])
    for finding in () if as_json else findings:
        verdict = "ok" if finding.error is None else "FAIL"
        click.echo(f"{verdict:<5} {finding.part:<12} {finding.error or finding.found}")
    return exit_code(findings)


def _list(settings: Settings, *, as_json: bool) -> int:
    values = {name: getattr(settings, name) for name in FIELDS}
    if as_json:
        print_json({name.replace("_", "-"): plain(value) for name, value in values.items()})
        return 0
    for name, value in values.items():
        click.echo(f"# {FIELDS[name].metadata['about']} [FARM_{name.upper()}]")
        click.echo(line(name.replace("_", "-"), value))
    return 0


def plain(value: Any) -> Any:
    """A setting as JSON has it: mappings, lists, numbers and truth as what they are, paths as text."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple) and any(isinstance(item, tuple) for item in value):
        return dict(value)
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def line(key: str, value: Any) -> str:
    """A setting as a line of farm.yml, for which JSON will do; a secret is in a comment."""
    if value is None:
        return f"{key}:"
    return f"{'# ' if isinstance(value, Secret) else ''}{key}: {json.dumps(plain(value), ensure_ascii=False)}"
