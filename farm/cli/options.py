"""What several verbs share: their options, each declared once, and the farm that they work with."""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.output import print_note, print_warning
from farm.errors import InputError
from farm.model import Reference, refuse_unknown_arches
from farm.settings import FIELDS, environment, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from farm.package.tags import TagOptions
    from farm.planning.plan import PushOptions
    from farm.settings import Settings
    from farm.state.store import Store

    Verb = Callable[..., Any]


def _record_json(ctx: click.Context, _: click.Parameter, given: bool) -> bool:
    """Record in the invocation that --json was given, so that errors are printed as JSON too."""
    if given:
        ctx.obj.json = True
    return given


json_option = click.option(
    "--json", "as_json", is_flag=True, is_eager=True, callback=_record_json, help="Print JSON."
)


def with_settings(*names: str, **help_texts: str) -> Callable[[Verb], Verb]:
    """Pass a verb its Settings as the first argument, and give it a flag for each named setting.

    `help_texts` replace those of settings for this verb.
    """

    def decorate(verb: Verb) -> Verb:
        @click.pass_context
        @functools.wraps(verb)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            flags = {name: options.pop(name) for name in names}
            return verb(load_settings(flags, config=ctx.obj.config, warn=print_warning), **options)

        return _with_flags(wrapped, [_setting_option(name, help_texts.get(name)) for name in names])

    return decorate


def _setting_option(name: str, help_text: str | None) -> Verb:
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


def _tag_options_decorator(flags: Sequence[Verb]) -> Callable[[Verb], Verb]:
    """A decorator that gives a verb these flags, and passes them as one TagOptions, `tags`.

    With --all, `directories` are all package directories below the given ones.
    """

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def wrapped(settings: Settings, /, **options: Any) -> Any:
            from farm.package.tags import TagOptions

            if options.pop("below"):
                from farm.package.read_packages import directories_below

                below = directories_below(options["directories"], options["build_yml"])
                options["directories"] = tuple(below)
            names = [name for name in TagOptions._fields if name in options]
            given = {name: options.pop(name) for name in names}
            tags = make_tag_options(settings, options.pop("build_arg_file", ()), **given)
            return verb(settings, tags=tags, **options)

        return _with_flags(wrapped, flags)

    return decorate


def _with_flags(verb: Verb, flags: Sequence[Verb]) -> Verb:
    """The verb with these flags, in the order in which --help lists them."""
    for flag in reversed(flags):
        verb = flag(verb)
    return verb


_TAG_FLAGS = [
    click.option("--all", "below", is_flag=True, help="Select all packages below the directories."),
    click.option("--hash", metavar="HASH", help="Use this hash instead of the git tree hash."),
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
_ADOPT_FLAG = click.option(
    "--adopt",
    is_flag=True,
    help="Accept existing images and base images, by digest, that no authorised worker attests.",
)
_FORCE_FLAG = click.option("--force", is_flag=True, help="Build even if the image exists.")
_PUBLISH_FLAGS = [
    click.option(
        "--only", multiple=True, metavar="ARCH", help="Only these architectures; requires --partial."
    ),
    click.option("--partial", is_flag=True, help="Publish an index even if architectures are missing."),
    click.option(
        "--release", metavar="TAG", help="Also publish every package's index under this tag: all or none."
    ),
    _ADOPT_FLAG,
]
tag_options = _tag_options_decorator(_TAG_FLAGS)
package_options = _tag_options_decorator([*_TAG_FLAGS, *_BUILD_FLAGS])


def make_tag_options(settings: Settings, build_arg_files: Iterable[str | Path], **flags: Any) -> TagOptions:
    """The tag options of a verb; `flags` are named as their fields."""
    from farm.package.build_args import read_file
    from farm.package.tags import TagOptions

    args = tuple(arg for file in build_arg_files for arg in read_file(Path(file)))
    user = environment(["USER"]).get("USER")
    return TagOptions(
        org=settings.org, user=user, build_args=args, include_ignored=settings.include_ignored, **flags
    )


def make_push_options(
    settings: Settings,
    *,
    only: tuple[str, ...] = (),
    force: bool = False,
    partial: bool = False,
    release: str | None = None,
    adopt: bool = False,
) -> PushOptions:
    """The options of a push, from the settings and the flags."""
    from farm.planning.plan import PushOptions

    refuse_unknown_arches((*only, *settings.arches))
    if only and not partial:
        raise InputError(
            "--only omits architectures, and an incomplete index is not published",
            hint="add --partial to publish it without them",
        )
    if release:
        Reference.parse(f"release:{release}")
    return PushOptions(
        settings.arches,
        only=only,
        sign=settings.sign,
        force=force,
        partial=partial,
        release=release or "",
        adopt=adopt,
    )


def publish_options(verb: Verb) -> Verb:
    """Give a verb the flags of a push that builds nothing, passed as one PushOptions, `options`."""

    @functools.wraps(verb)
    def wrapped(settings: Settings, /, **given: Any) -> Any:
        only = tuple(arch for word in given.pop("only") for arch in word.split(","))
        flags = {name: given.pop(name) for name in ("force", "partial", "release", "adopt") if name in given}
        return verb(settings, options=make_push_options(settings, only=only, **flags), **given)

    return _with_flags(wrapped, _PUBLISH_FLAGS)


def build_and_publish_options(verb: Verb) -> Verb:
    """Give a verb that builds --force too."""
    return _FORCE_FLAG(publish_options(verb))


@contextmanager
def attached(settings: Settings, *, builds: bool = False) -> Iterator[tuple[Settings, Store]]:
    """Connect as `farm.private_farm.connect.connect_farm` does; on a terminal, note that no broker is set.

    Without the note, somebody who forgot FARM_BROKER would not know why the runs of others are missing.
    """
    from farm.private_farm.connect import connect_farm

    if settings.broker is None and sys.stderr.isatty():
        print_note(f"no broker is set: using the private farm in {settings.state_dir}")
    with connect_farm(settings, builds=builds) as found:
        yield found
