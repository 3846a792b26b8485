"""Options that several verbs share, each declared once."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from farm.errors import InputError
from farm.model import ARCHES
from farm.settings import FIELDS, environment, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from farm.package.tags import TagOptions
    from farm.settings import Settings

F = TypeVar("F", bound="Callable[..., Any]")


def _record_json(ctx: click.Context, _: click.Parameter, given: bool) -> bool:
    """Record in the invocation that --json was given, so that errors are printed as JSON too."""
    if given:
        ctx.obj.json = True
    return given


json_option = click.option(
    "--json", "as_json", is_flag=True, is_eager=True, callback=_record_json, help="Print JSON."
)


def with_settings(*names: str, **help_texts: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Pass a verb its Settings as the first argument, and give it a flag for each named setting.

    Args:
        names: the settings that have a flag.
        help_texts: setting to a help text that replaces its own for this verb.
    """

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @click.pass_context
        @functools.wraps(verb)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            flags = {name: options.pop(name) for name in names}
            return verb(load_settings(flags, config=ctx.obj.config), **options)

        for name in reversed(names):
            wrapped = _setting_option(name, help_texts.get(name))(wrapped)
        return wrapped

    return decorate


def _setting_option(name: str, help_text: str | None) -> Callable[[Any], Any]:
    item = FIELDS[name]
    flag = name.replace("_", "-")
    boolean = isinstance(item.default, bool)
    text = help_text or item.metadata["about"]
    return click.option(
        f"--{flag}/--no-{flag}" if boolean else f"--{flag}",
        name,
        default=None,
        help=f"{text[0].upper()}{text[1:]}. [FARM_{name.upper()}]",
        metavar=None if boolean else "VALUE",
    )


def _tag_options_decorator(flags: Sequence[Callable[[Any], Any]]) -> Callable[[F], F]:
    """A decorator that gives a verb these flags, and passes them as one TagOptions, `tags`.

    With --all, `directories` are all package directories below the given ones.
    """

    def decorate(verb: F) -> F:
        @functools.wraps(verb)
        def wrapped(settings: Settings, /, **options: Any) -> Any:
            if options.pop("below"):
                options["directories"] = _directories_below(options["directories"], options["build_yml"])
            return verb(settings, tags=_pop_tag_options(settings, options), **options)

        for option in reversed(flags):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]  # click's decorators keep the signature

    return decorate


_TAG_FLAGS = [
    click.option("--all", "below", is_flag=True, help="Select all packages below the directories."),
    click.option("--hash", "hash_", metavar="HASH", help="Use this hash instead of the git tree hash."),
    click.option(
        "--hash-commit",
        default="HEAD",
        show_default=True,
        metavar="COMMIT",
        help="Take the tree hash at this commit.",
    ),
    click.option(
        "--hash-path", metavar="DIR", help="Take the tree hash of this directory, which contains the package."
    ),
    click.option("--tag", metavar="TEMPLATE", help="Template of the tag; {{.Hash}} is replaced by the hash."),
    click.option("--dev", is_flag=True, help="Use organisation $USER and tag dev."),
    click.option(
        "--build-yml", default="build.yml", show_default=True, metavar="FILE", help="Name of the build.yml."
    ),
    click.option("--force-dirty", is_flag=True, help="Tag the package as if it had uncommitted changes."),
]
_BUILD_FLAGS = [
    click.option("--dockerfile", metavar="FILE", help="Name of the Dockerfile; overrides build.yml."),
    click.option(
        "--network/--no-network",
        default=None,
        help="Run RUN steps with or without a network; overrides build.yml.",
    ),
    click.option(
        "--disable-cache/--enable-cache",
        default=None,
        help="Ignore or use the layers of earlier builds; overrides build.yml.",
    ),
    click.option(
        "--build-arg-file",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File of build arguments, NAME=VALUE lines; they override those of build.yml.",
    ),
]
tag_options = _tag_options_decorator(_TAG_FLAGS)
package_options = _tag_options_decorator([*_TAG_FLAGS, *_BUILD_FLAGS])


def _pop_tag_options(settings: Settings, options: dict[str, Any]) -> TagOptions:
    from farm.package.build_args import read_file
    from farm.package.tags import TagOptions

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


def _directories_below(directories: Sequence[str], build_yml: str) -> tuple[str, ...]:
    from farm.package.read_packages import directories_below

    return tuple(directories_below(directories, build_yml))


def refuse_unknown_arches(arches: Iterable[str]) -> None:
    """Refuse architectures that the farm does not know.

    Raises:
        InputError: one is unknown.
    """
    for arch in arches:
        if arch not in ARCHES:
            raise InputError(f"unknown architecture {arch!r}", hint=f"one of {', '.join(ARCHES)}")
