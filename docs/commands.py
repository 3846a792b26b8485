"""docs/commands.md: the commands as click has them, the errors, the settings, and the types of shapes.yml."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import click

from docs.shapes import ENUMERATIONS, Shape, Shapes
from farm.builders.build_arguments import PROXIES
from farm.cli.main import VERBS, cli
from farm.errors import FarmError, facts_of
from farm.settings import CONFIG_VARIABLE, FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HEAD = """\
# Commands

Made by `make docs` from the commands themselves, farm/settings.py, farm/errors.py and docs/shapes.yml.
Change those, not this page.
"""
_SETTINGS = """\
## Settings

A setting has a key in farm.yml, a variable, and a flag on the verbs that list it. The flag beats the
variable, which beats the file. A variable is named FARM_ and the key: `state-dir` is `FARM_STATE_DIR`.
An empty variable counts as not set. An unknown key or `FARM_*` variable is an error.

A secret may stand in a file of its own, whose one line it is: `broker-file` or `FARM_BROKER_FILE` in the
place of `broker`, and so for each secret. A relative path in farm.yml counts from the folder of that file.
"""
_EXIT_CODES = """\
## Exit codes

0: done. 130: interrupted. The others say what kind of error it was; `--json` shows the kind by name.
"""
_JSON = """\
## JSON

A field whose name ends in `?` may be absent. An error that ends a command is told on standard error and by
the exit code; with `--json`, [Failed](#failed) is printed too, in the place of what else would be. Fields
may be added; readers should pass over what they do not know.
"""
# How a value is written, by the type of its field.
_WRITTEN = {
    "str": "text",
    "Secret": "text, a secret",
    "Path": "path",
    "float": "90, 90s, 5m, 4h or 2d",
    "int": "whole number",
    "Size": "bytes, or 500MB or 20GiB",
    "bool": "true or false",
    "tuple[str, ...]": "list; a,b in a variable or flag",
    "tuple[Path, ...]": "list of paths; a,b in a variable or flag",
    "tuple[tuple[str, str], ...]": "mapping; A=1,B=2 in a variable or flag",
}
_VARIABLES = [
    (f"`{CONFIG_VARIABLE}`", "The settings file, as `--config`."),
    ("`HOME`, `XDG_CONFIG_HOME`", "Where farm/farm.yml is looked for."),
    ("`USER`", "The organisation of `--dev`."),
    (
        ", ".join(f"`{name}`" for name in PROXIES),
        "On a worker: build arguments of every build. notary obeys those for http, https and none.",
    ),
    (
        "`SSL_CERT_FILE`, `SSL_CERT_DIR`",
        "CA certificates of the registry, and of notary without `notary-ca`.",
    ),
    ("`_FARM_COMPLETE`", "Used by the script that `farm completion` prints."),
]


def commands_page(defaults: Mapping[str, str]) -> str:
    """docs/commands.md; `defaults` are those of the settings, as one would write them."""
    context = click.Context(cli, info_name="farm", **cli.context_settings)
    shapes = Shapes.load()
    lines = [_HEAD, *_contents(), *_command(cli, context, "##", shapes)]
    for verb in VERBS:
        command = cli.get_command(context, verb)
        if command is None:
            raise ValueError(f"no verb {verb}")
        within = click.Context(command, parent=context, info_name=verb)
        lines += [*_command(command, within, "##", shapes)]
    lines += [*_exit_codes(), *_settings(defaults), "## Other variables\n"]
    lines += [*_table(("variable", "meaning"), _VARIABLES), *_types(shapes)]
    return "\n".join(lines)


def takes_json(command: click.Command) -> bool:
    """Whether a command has the flag --json."""
    return any("--json" in parameter.opts for parameter in command.params)


def _contents() -> Iterator[str]:
    for verb, (_, about) in VERBS.items():
        yield f"- [farm {verb}](#farm-{verb}): {about}"
    others = ("Exit codes", "Settings", "Other variables", "JSON")
    yield from (f"- [{title}](#{title.lower().replace(' ', '-')})" for title in others)
    yield ""


def _command(command: click.Command, context: click.Context, heading: str, shapes: Shapes) -> Iterator[str]:
    name = context.command_path
    yield f"{heading} {name}\n"
    yield f"```text\n{name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield from _help(command.help or "")
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    flags = [(f"`{flag}`", _prose(about)) for flag, about in filter(None, records) if about]
    if context.parent:
        flags = [row for row in flags if "--help" not in row[0]]
    yield from _table(("flag", "meaning"), flags)
    yield from _printed(shapes.verbs.get(name.removeprefix("farm "), ()))
    for part in _parts(command, context):
        within = click.Context(part, parent=context, info_name=part.name)
        yield from _command(part, within, f"{heading}#", shapes)


def _parts(command: click.Command, context: click.Context) -> list[click.Command]:
    """The verbs of a verb; those of `farm` itself have headings of their own."""
    if not isinstance(command, click.Group) or context.parent is None:
        return []
    found = (command.get_command(context, name) for name in command.list_commands(context))
    return [part for part in found if part is not None]


def _help(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        shown = paragraph.removeprefix("\b\n")
        yield f"{_prose(paragraph)}\n" if shown == paragraph else f"```text\n{shown}\n```\n"


def _printed(cases: Sequence[Shape]) -> Iterator[str]:
    for case in cases:
        about = f", {_prose(case.about)}" if case.about else ""
        yield f"`--json`{about}: {_linked(case.type)}\n"


def _exit_codes() -> Iterator[str]:
    known = FarmError.registry.values()
    kinds: list[type[FarmError]] = [
        FarmError,
        *(kind for kind in known if kind.__module__ == FarmError.__module__),
    ]
    by_code: dict[int, list[type[FarmError]]] = defaultdict(list)
    for kind in kinds:
        by_code[facts_of(kind).exit_code].append(kind)
    rows = [
        (str(code), f"`{kind.__name__}`", _prose(_first(kind)), "yes" if facts_of(kind).retryable else "")
        for code in sorted(by_code)
        for kind in by_code[code]
    ]
    yield _EXIT_CODES
    yield from _table(("code", "kind", "meaning", "workers try again"), rows)


def _first(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").split("\n\n", maxsplit=1)[0]


def _settings(defaults: Mapping[str, str]) -> Iterator[str]:
    rows = []
    for name, item in FIELDS.items():
        about, also = item.metadata["about"], item.metadata["also"]
        meaning = f"{_prose(about[0].upper() + about[1:])}.{f' Also `{also}`.' if also else ''}"
        standard = f"`{defaults[name]}`" if defaults[name] else ""
        written = _WRITTEN[str(item.type).removesuffix(" | None")]
        rows.append((f"`{name.replace('_', '-')}`", meaning, written, standard))
    yield _SETTINGS
    yield from _table(("setting", "meaning", "written as", "default"), rows)


def _types(shapes: Shapes) -> Iterator[str]:
    yield _JSON
    states = [(f"`{name}`", ", ".join(values)) for name, values in ENUMERATIONS.items()]
    yield from _table(("state", "values"), states)
    for name, fields in shapes.types.items():
        rows = [(f"`{key}`", _linked(shape.type), _prose(shape.about)) for key, shape in fields.items()]
        yield f"### {name}\n"
        yield from _table(("field", "type", "meaning"), rows)


def _linked(kind: str) -> str:
    """A type in words, its names linked to where they are described."""

    def link(match: re.Match[str]) -> str:
        name = match[0]
        return f"[{name}](#{'json' if name in ENUMERATIONS else name.lower()})"

    words = kind.replace("[", "list of ").replace("{", "mapping from names to ").replace("|", "or")
    return re.sub(r"\b[A-Z]\w+", link, re.sub(r"[\]}]", "", words))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield from map(_row, (head, tuple("---" for _ in head), *rows))
        yield ""


def _row(cells: tuple[str, ...]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |".replace("|  |", "| |")


def _prose(text: str) -> str:
    """Text on one line, in which Markdown sees no mark-up but code."""
    parts = " ".join(text.split()).split("`")
    escaped = (part if number % 2 else re.sub(r"([*<>])", r"\\\1", part) for number, part in enumerate(parts))
    return "`".join(escaped)
