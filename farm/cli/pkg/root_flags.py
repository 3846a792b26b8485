"""How the flags of `linuxkit` are declared, and those that every command of `linuxkit` has."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import click

from farm.cli.pkg.flag_spelling import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENGINE_BUILDS = "the BuildKit inside the engine builds"
NO_EFFECT = {
    "quiet": "the farm prints only a line for each step",
    "verbose": "`farm logs` prints the whole output of a build",
    "builder_name": _ENGINE_BUILDS,
    "builder_image": _ENGINE_BUILDS,
    "builder_config": f"{_ENGINE_BUILDS}, with the configuration of dockerd",
    "builder_restart": f"{_ENGINE_BUILDS}, and needs no restart",
    "precache_images": "the engine pulls base images when it needs them, and keeps them",
    "progress": "a terminal gets a live table, a pipe gets lines",
}
"""The flags that have no effect on a farm, each with the reason."""
_SHORT = {"quiet": "-q", "verbose": "-v"}


def flag_name(name: str) -> str:
    """A flag as users write it: --skip-platforms for skip_platforms."""
    return f"--{name.replace('_', '-')}"


def value_flag(about: str | None = None, metavar: str = "VALUE", **more: Any) -> Any:
    """A flag with a value; without `about`, one that has no effect."""
    default = () if "multiple" in more else more.get("default")
    return field(default=default, metadata={"help": about, "metavar": metavar, **more})


def boolean_flag(about: str | None = None) -> Any:
    """A boolean flag, which may be given a value: --name, --name=false; as `value_flag` without `about`."""
    return value_flag(about, "[=false]", type=click.BOOL)


def make_option(flag: Field[Any]) -> click.Option:
    """The declaration of a field as an option."""
    names = [flag_name(flag.name), *filter(None, [_SHORT.get(flag.name)])]
    about = flag.metadata["help"] or f"No effect: {NO_EFFECT[flag.name]}."
    return click.Option(names, **{**flag.metadata, "help": about})


@dataclass(frozen=True, slots=True)
class RootFlags:
    """The flags of every command of `linuxkit`, which may also precede it."""

    cache: str | None = value_flag("Directory of the LinuxKit cache. [LINUXKIT_CACHE]", "DIR")
    mirror: tuple[str, ...] = value_flag(
        "Mirror to read from instead of REGISTRY, or of every registry; repeatable. [LINUXKIT_MIRROR]",
        "[REGISTRY=]URL",
        multiple=True,
    )
    cert_file: tuple[str, ...] = value_flag(
        "CA certificate to trust for every registry; repeatable.", "FILE", multiple=True
    )
    quiet: bool | None = boolean_flag()
    verbose: str | None = value_flag(metavar="[N]", type=LEVEL)


ROOT_FLAGS = [make_option(flag) for flag in fields(RootFlags)]


def root_settings(cache: str | None, mirror: Sequence[str], cert_file: Sequence[str]) -> dict[str, Any]:
    """The settings that those flags override, as text; None where a flag is not given."""
    return {
        "cache": cache,
        "mirrors": ",".join(mirror) or None,
        "registry_ca": ",".join(cert_file) or None,
    }
