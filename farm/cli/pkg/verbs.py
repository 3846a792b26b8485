"""farm pkg, how its verbs are declared, and the request that each is called with."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import click

from farm.cli.main import LazyGroup
from farm.cli.options import make_tag_options
from farm.cli.output import print_warning
from farm.cli.pkg.flag_checks import BUILDERS_VARIABLE, check_common_flags
from farm.cli.pkg.flag_spelling import LinuxkitCommand, move_flags_after_verb
from farm.cli.pkg.flags import COMMON_FLAGS, PkgFlags
from farm.cli.pkg.root_flags import root_settings
from farm.errors import InputError
from farm.model import ARCHES
from farm.settings import environment, load_settings
from farm.syntax.setting_types import read_platforms, read_sbom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from farm.local_build.options import BuildOptions
    from farm.package.tags import TagOptions
    from farm.settings import Settings


VERBS: dict[str, tuple[str, str]] = {
    "build": ("farm.cli.pkg.build", "Build packages into the LinuxKit cache."),
    "push": ("farm.cli.pkg.push", "Build, publish and sign packages on the farm."),
    "show-tag": ("farm.cli.pkg.tags:show_tag", "Print the tags of packages."),
    "manifest": ("farm.cli.pkg.push:manifest", "Publish the index of existing images."),
    "remote-tag": ("farm.cli.pkg.tags:remote_tag", "Copy an image to another tag or registry."),
    "builder": ("farm.cli.pkg.builder", "Show or free this engine's build cache."),
}


class PkgGroup(LazyGroup):
    """The verbs of `farm pkg`; flags may precede the verb."""

    verbs = VERBS
    aliases: ClassVar[Mapping[str, str]] = {"index": "manifest"}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move flags behind the verb: `farm pkg --org wombat show-tag DIR`."""
        return super().parse_args(ctx, move_flags_after_verb(args, COMMON_FLAGS))


@click.group("pkg", cls=PkgGroup)
def pkg() -> None:
    r"""Run the commands of `linuxkit pkg` with its flags, for existing scripts and habits.

    Flags have two dashes, or one as with the linuxkit of 2021: -org=wombat -disable-content-trust. A flag
    that has no effect on a farm is noted or refused. docs/linuxkit.md lists every flag.
    """


def pkg_verb(name: str, *own: click.Parameter) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb of `farm pkg` with the common flags and its own parameters.

    The function gets a PkgRequest, and as keywords the arguments that are not DIR.
    """
    arguments = [str(parameter.name) for parameter in own if isinstance(parameter, click.Argument)]

    def decorate(function: Callable[..., Any]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            positional = {argument: options.pop(argument) for argument in arguments}
            directories = positional.pop("directories", ())
            flags = PkgFlags(**options)
            check_common_flags(name, flags)
            settings = _settings(flags, ctx.obj.config)
            request = PkgRequest(flags, settings, _tag_options(flags, settings), directories)
            return function(request, **positional)

        return click.command(name, cls=LinuxkitCommand, params=[*COMMON_FLAGS, *own])(wrapped)

    return decorate


@dataclass(frozen=True, slots=True)
class PkgRequest:
    """What a verb of `farm pkg` is called with."""

    flags: PkgFlags
    settings: Settings
    tags: TagOptions
    directories: tuple[str, ...] = ()

    @property
    def platforms(self) -> tuple[str, ...]:
        """The architectures of --platforms."""
        return _parse_platforms(self.flags.platforms)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The architectures of --skip-platforms."""
        return _parse_platforms(self.flags.skip_platforms)


def _settings(flags: PkgFlags, config: Path | None) -> Settings:
    given = root_settings(flags.cache, flags.mirror, flags.cert_file)
    given |= {"org": flags.org or None, "registry_creds": ",".join(flags.registry_creds) or None}
    settings = load_settings(given, config=config, warn=print_warning)
    return settings if flags.without_trust is None else replace(settings, sign=not flags.without_trust)


def _tag_options(flags: PkgFlags, settings: Settings) -> TagOptions:
    taken = ("hash", "hash_commit", "hash_path", "tag", "build_yml", "dockerfile")
    return make_tag_options(
        settings,
        flags.build_arg_file,
        dev=bool(flags.dev),
        force_dirty=bool(flags.force_dirty),
        network=flags.either("network", "nonetwork"),
        disable_cache=flags.either("disable_cache", "enable_cache"),
        disable_content_trust=flags.without_trust,
        **{name: getattr(flags, name) for name in taken},
    )


def _parse_platforms(text: str | None) -> tuple[str, ...]:
    """The architectures of linux/ARCH,...; none where the flag is not given."""
    platforms = {f"linux/{arch}": arch for arch in ARCHES}
    words = [word.strip() for word in text.split(",")] if text else []
    for word in words:
        if word not in platforms:
            raise InputError(f"unknown platform {word!r}", hint=f"one of {', '.join(platforms)}")
    return tuple(dict.fromkeys(platforms[word] for word in words))


def builder_settings(flags: PkgFlags, settings: Settings) -> Settings:
    """The settings with what the flags say about this machine's builder.

    --builders overrides the setting `builders`, which overrides LINUXKIT_BUILDERS.
    """
    builders = _parse_builders(BUILDERS_VARIABLE, environment([BUILDERS_VARIABLE]).get(BUILDERS_VARIABLE))
    builders |= dict(settings.builders) | _parse_builders("--builders", flags.builders)
    scanner = flags.sbom_scanner
    return replace(
        settings,
        builders=tuple(builders.items()),
        build_ssh=flags.ssh or settings.build_ssh,
        sbom=settings.sbom if scanner is None else read_sbom(scanner or "true"),
    )


def _parse_builders(source: str, text: str | None) -> dict[str, str]:
    try:
        return dict(read_platforms(text or ""))
    except ValueError as error:
        raise InputError(f"{source}: {text!r} {error}") from error


def build_options(request: PkgRequest) -> BuildOptions:
    """What the flags say about a build on this machine."""
    from farm.local_build.options import BuildOptions, native_arch

    flags, platforms, skipped = request.flags, request.platforms, request.skipped
    return BuildOptions(
        () if request.settings.emulate or skipped else (native_arch(),),
        platforms=platforms,
        skip=skipped,
        force=bool(flags.force),
        pull=flags.pull is not False,
        cached_bases=not flags.ignore_cached,
        docker=bool(flags.docker),
    )
