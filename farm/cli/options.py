"""Options that several verbs share, each made from its one declaration."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from farm.settings import FIELDS, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farm.package.tag_options import TagOptions
    from farm.settings import Settings

F = TypeVar("F", bound="Callable[..., Any]")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_settings(*names: str, **meant: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Hand a verb its Settings as first argument, and give it a flag for each of the named settings.

    Args:
        names: of the settings.
        meant: what those of them do that do something else with this verb than the setting says.
    """

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @click.pass_context
        @functools.wraps(verb)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            flags = {name: options.pop(name) for name in names}
            return verb(load_settings(flags, config=ctx.obj.config), **options)

        for name in reversed(names):
            wrapped = _flag(name, meant.get(name))(wrapped)
        return wrapped

    return decorate


def _flag(name: str, meant: str | None) -> Callable[[Any], Any]:
    item = FIELDS[name]
    word = name.replace("_", "-")
    boolean = isinstance(item.default, bool)
    text = meant or item.metadata["about"]
    about = f"{text[0].upper()}{text[1:]}. [FARM_{name.upper()}]"
    return click.option(
        f"--{word}/--no-{word}" if boolean else f"--{word}",
        name,
        default=None,
        help=about,
        metavar=None if boolean else "VALUE",
    )


def _arriving_as_tags(flags: Sequence[Callable[[Any], Any]]) -> Callable[[F], F]:
    """A decorator that gives a verb these flags; they arrive as one TagOptions, `tags`.

    With --all its `directories` are those of the packages below the ones that were given.
    """

    def decorate(verb: F) -> F:
        @functools.wraps(verb)
        def wrapped(settings: Settings, /, **options: Any) -> Any:
            if options.pop("below"):
                options["directories"] = _below(options["directories"], options["build_yml"])
            return verb(settings, tags=_tags(settings, options), **options)

        for option in reversed(flags):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]  # click's decorators keep the shape

    return decorate


_TAG_OPTIONS = [
    click.option("--all", "below", is_flag=True, help="Every package below the directories."),
    click.option("--hash", "hash_", metavar="HASH", help="Use this instead of the git tree hash."),
    click.option(
        "--hash-commit",
        default="HEAD",
        show_default=True,
        metavar="COMMIT",
        help="Take the hash at this commit.",
    ),
    click.option(
        "--hash-path", metavar="DIR", help="Take the hash of this directory, which contains the package."
    ),
    click.option("--tag", metavar="TEMPLATE", help="Tag template in which {{.Hash}} stands for the hash."),
    click.option("--dev", is_flag=True, help="Organisation $USER, tag dev."),
    click.option(
        "--build-yml", default="build.yml", show_default=True, metavar="FILE", help="Name of the build.yml."
    ),
    click.option("--force-dirty", is_flag=True, help="Name the package as if it had uncommitted changes."),
]


_BUILD_OPTIONS = [
    click.option("--dockerfile", metavar="FILE", help="Name of the Dockerfile, whatever build.yml says."),
    click.option(
        "--network/--no-network",
        default=None,
        help="Give RUN steps a network or none, whatever build.yml says.",
    ),
    click.option(
        "--disable-cache/--enable-cache",
        default=None,
        help="Build without or with the layers of earlier builds, whatever build.yml says.",
    ),
    click.option(
        "--build-arg-file",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Build arguments, NAME=VALUE lines; they beat those of build.yml.",
    ),
]
tag_options = _arriving_as_tags(_TAG_OPTIONS)
package_options = _arriving_as_tags([*_TAG_OPTIONS, *_BUILD_OPTIONS])


def _tags(settings: Settings, options: dict[str, Any]) -> TagOptions:
    from farm.package.build_args import read_file  # noqa: PLC0415 - git is imported when a package is read
    from farm.package.tag_options import TagOptions  # noqa: PLC0415
    from farm.settings import environment  # noqa: PLC0415 - beside its one use

    return TagOptions(
        org=settings.org,
        hash=options.pop("hash_"),
        hash_commit=options.pop("hash_commit"),
        hash_path=options.pop("hash_path"),
        tag=options.pop("tag"),
        dev=options.pop("dev"),
        user=environment(["USER"]).get("USER"),
        force_dirty=options.pop("force_dirty"),
        build_yml=options.pop("build_yml"),
        dockerfile=options.pop("dockerfile", None),
        network=options.pop("network", None),
        disable_cache=options.pop("disable_cache", None),
        build_args=tuple(arg for file in options.pop("build_arg_file", ()) for arg in read_file(file)),
    )


def _below(directories: Sequence[str], build_yml: str) -> tuple[str, ...]:
    from farm.package.discovery import directories_below  # noqa: PLC0415 - beside its one use

    return tuple(directories_below(directories, build_yml))


def print_json(data: Any) -> None:
    """Print a value for a program to read."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))
