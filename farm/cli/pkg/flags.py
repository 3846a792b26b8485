"""The flags that every verb of `linuxkit pkg` takes, and what they come to in the farm's own words."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.pkg.flag_spelling import LEVEL, modern
from farm.errors import InputError
from farm.settings import environment, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farm.package.tag_options import TagOptions
    from farm.settings import Settings


def text(name: str, about: str, metavar: str = "VALUE", **more: Any) -> click.Option:
    """A flag with a value."""
    return click.Option([f"--{name}"], help=about, metavar=metavar, **more)


def switch(name: str, about: str, *short: str) -> click.Option:
    """A boolean flag, which may be given its value: --name, --name=false."""
    return click.Option([f"--{name}", *short], type=click.BOOL, help=about, metavar="[=false]")


COMMON: list[click.Parameter] = [
    text("org", "Organisation that beats build.yml's. [LINUXKIT_PKG_ORG]", "ORG"),
    text("hash", "Use this instead of the git tree hash.", "HASH"),
    text("hash-commit", "Take the hash at this commit; by default HEAD.", "COMMIT", default="HEAD"),
    text("hash-path", "Take the hash of this directory, which contains the package.", "DIR"),
    text("tag", "Tag template in which {{.Hash}} stands for the hash.", "TEMPLATE"),
    text("build-yml", "Name of the build.yml.", "FILE", default="build.yml"),
    switch("dev", "Organisation $USER, tag dev."),
    switch("force-dirty", "Name the package as if it had uncommitted changes."),
    switch("disable-cache", "Build without the layers of earlier builds, whatever build.yml says."),
    switch("enable-cache", "Build with the layers of earlier builds, whatever build.yml says."),
    switch("network", "Give RUN steps a network, whatever build.yml says."),
    switch("nonetwork", "Give RUN steps no network, whatever build.yml says."),
    switch("disable-content-trust", "Do not sign."),
    switch("enable-content-trust", "Sign, whatever build.yml says."),
    text("cache", "Directory of the LinuxKit cache. [LINUXKIT_CACHE]", "DIR"),
    text(
        "mirror",
        "Where to read what REGISTRY holds, or all registries; many times. [LINUXKIT_MIRROR]",
        "[REGISTRY=]URL",
        multiple=True,
    ),
    text("cert-file", "CA certificate to trust for all registries; many times.", "FILE", multiple=True),
    text(
        "registry-creds",
        "Login that beats docker's; others see it. Better: [FARM_REGISTRY_CREDS_FILE]",
        "REGISTRY=USER:PASSWORD",
        multiple=True,
    ),
    text("hash-dir", "Refused: the farm keeps no hash files.", "DIR"),
    switch("strict-deps", "Refused: the farm keeps no hash files."),
    switch("quiet", "Accepted: the farm prints little.", "-q"),
    click.Option(["--verbose", "-v"], type=LEVEL, metavar="[N]", help="Accepted: `farm logs` shows all."),
]


ROOT = [flag for flag in COMMON if flag.name in ("cache", "mirror", "cert_file", "quiet", "verbose")]
"""Those that `linuxkit` takes before `pkg`, too."""

_BUILDING = ("disable_cache", "enable_cache", "network", "nonetwork", "cache", "mirror")
_TRUST = ("disable_content_trust", "enable_content_trust")
_REGISTRY = ("cert_file", "registry_creds")
_TAGS = ("org", "hash", "hash_commit", "hash_path", "tag", "build_yml", "dev", "force_dirty")
_IDLE = {
    "show-tag": (*_BUILDING, *_TRUST, *_REGISTRY),
    "manifest": _BUILDING,
    "push": ("mirror",),
    "remote-tag": (*_TAGS, *_BUILDING, *_TRUST),
}
"""The common flags that a verb has no use for."""


def _idle(verb: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    """The common flags for which a verb has no use, when it is given these of its own."""
    idle = _IDLE.get(verb, ())
    return (*idle, "cache") if verb == "push" and not own.get("nobuild") else idle


class LinuxkitCommand(click.Command):
    """A command whose flags may be spelled as `linuxkit` takes them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after every flag was spelled as click does."""
        return super().parse_args(ctx, modern(args, self.params))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the common flags come to."""

    settings: Settings
    tags: TagOptions


def verb(name: str, *own: click.Parameter) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a verb of `farm pkg` with the common flags and its own; it is handed an `Asked` first."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def wrapped(ctx: click.Context, /, **options: Any) -> Any:
            common = {str(flag.name): options.pop(str(flag.name)) for flag in COMMON}
            for flag in COMMON:
                given = common[str(flag.name)] not in (None, (), flag.default)
                if given and flag.name in _idle(name, options):
                    note(f"{flag.opts[0]}: {name} has no use for it")
            return function(_asked(common, options, ctx.obj.config), **options)

        return click.command(name, cls=LinuxkitCommand, params=[*COMMON, *own])(wrapped)

    return decorate


def note(words: str) -> None:
    """Tell, on standard error, what became of a flag."""
    click.echo(f"note: {words}", err=True)


def refuse_both(flags: Mapping[str, Any], one: str, other: str) -> None:
    """Refuse two flags that contradict each other.

    Raises:
        InputError: both are given.
    """
    if flags[one.replace("-", "_")] and flags[other.replace("-", "_")]:
        raise InputError(f"--{one} and --{other} exclude each other", hint="give one of them")


def _asked(common: dict[str, Any], own: dict[str, Any], config: Path | None) -> Asked:
    _refuse(common)
    if common["registry_creds"]:
        note("--registry-creds: who sees this machine's processes sees it; FARM_REGISTRY_CREDS_FILE hides it")
    if common["quiet"]:
        note("--quiet: the farm prints a line for each step, and no more")
    if common["verbose"]:
        note("--verbose: `farm logs` prints all that a build said")
    lists = {"mirrors": "mirror", "registry_creds": "registry_creds", "registry_ca": "cert_file"}
    flags: dict[str, Any] = {"org": common["org"] or None, "cache": common["cache"]}
    flags |= {setting: ",".join(common[flag]) or None for setting, flag in lists.items()}
    settings = load_settings(flags, config=config)
    distrusted = _either(common, "disable_content_trust", "enable_content_trust")
    if distrusted is not None:
        settings = replace(settings, sign=not distrusted)
    return Asked(settings, _tags(common, own, settings, distrusted=distrusted))


def _refuse(common: Mapping[str, Any]) -> None:
    for name in ("hash-dir", "strict-deps"):
        if common[name.replace("-", "_")]:
            raise InputError(
                f"--{name}: the farm keeps no hash files",
                hint="leave it out: what a package is built FROM is found in its Dockerfile",
            )
    for one, other in (("disable-cache", "enable-cache"), ("network", "nonetwork")):
        refuse_given(common, one, other)
    refuse_given(common, "disable-content-trust", "enable-content-trust")


def refuse_given(common: Mapping[str, Any], one: str, other: str) -> None:
    """Refuse two flags of which each says the contrary of the other, whatever their values.

    Raises:
        InputError: both are given.
    """
    if None not in (common[one.replace("-", "_")], common[other.replace("-", "_")]):
        raise InputError(f"--{one} and --{other} exclude each other", hint="give one of them")


def _either(common: Mapping[str, Any], name: str, contrary: str) -> bool | None:
    """What the first of two contrary flags says; None where neither is given."""
    if common[name] is not None:
        return bool(common[name])
    return None if common[contrary] is None else not common[contrary]


def _tags(
    common: Mapping[str, Any], own: dict[str, Any], settings: Settings, *, distrusted: bool | None
) -> TagOptions:
    from farm.package.build_args import read_file  # noqa: PLC0415 - git is imported when a package is read
    from farm.package.tag_options import TagOptions  # noqa: PLC0415

    return TagOptions(
        org=settings.org,
        hash=common["hash"],
        hash_commit=common["hash_commit"],
        hash_path=common["hash_path"],
        tag=common["tag"],
        dev=bool(common["dev"]),
        user=environment(["USER"]).get("USER"),
        force_dirty=bool(common["force_dirty"]),
        build_yml=common["build_yml"],
        dockerfile=own.pop("dockerfile", None),
        network=_either(common, "network", "nonetwork"),
        disable_cache=_either(common, "disable_cache", "enable_cache"),
        disable_content_trust=distrusted,
        build_args=tuple(arg for file in own.pop("build_arg_file", ()) for arg in read_file(Path(file))),
    )
