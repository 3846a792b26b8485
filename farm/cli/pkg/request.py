"""One `farm pkg` command: its flags, and the settings and tag options that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.cli.pkg.flag_checks import BUILDERS_VARIABLE
from farm.errors import InputError
from farm.model import ARCHES
from farm.settings import environment, load_settings
from farm.syntax.setting_types import read_platforms, read_sbom

if TYPE_CHECKING:
    from farm.cli.pkg.pkg_flags import PkgFlags
    from farm.package.tags import TagOptions
    from farm.settings import Settings


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
        return parse_platforms(self.flags.platforms)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The architectures of --skip-platforms."""
        return parse_platforms(self.flags.skip_platforms)


def make_request(flags: PkgFlags, directories: tuple[str, ...], config: Path | None) -> PkgRequest:
    """The request of a command line; `config` is the settings file of --config."""
    settings = _settings(flags, config)
    return PkgRequest(flags, settings, _tag_options(flags, settings), directories)


def _settings(flags: PkgFlags, config: Path | None) -> Settings:
    given: dict[str, Any] = {
        "org": flags.org or None,
        "cache": flags.cache,
        "mirrors": ",".join(flags.mirror) or None,
        "registry_creds": ",".join(flags.registry_creds) or None,
        "registry_ca": ",".join(flags.cert_file) or None,
    }
    settings = load_settings(given, config=config)
    return settings if flags.without_trust is None else replace(settings, sign=not flags.without_trust)


def _tag_options(flags: PkgFlags, settings: Settings) -> TagOptions:
    from farm.package.build_args import read_file
    from farm.package.tags import TagOptions

    return TagOptions(
        org=settings.org,
        hash=flags.hash,
        hash_commit=flags.hash_commit,
        hash_path=flags.hash_path,
        tag=flags.tag,
        dev=bool(flags.dev),
        user=environment(["USER"]).get("USER"),
        force_dirty=bool(flags.force_dirty),
        build_yml=flags.build_yml,
        dockerfile=flags.dockerfile,
        network=flags.with_network,
        disable_cache=flags.without_cache,
        disable_content_trust=flags.without_trust,
        build_args=tuple(arg for file in flags.build_arg_file for arg in read_file(Path(file))),
    )


def parse_platforms(text: str | None) -> tuple[str, ...]:
    """The architectures of linux/ARCH,...; none where the flag is not given.

    Raises:
        InputError: a platform is not linux/ARCH with an architecture that the farm knows.
    """
    arches = []
    for word in text.split(",") if text else ():
        system, _, arch = word.strip().partition("/")
        if system != "linux" or arch not in ARCHES:
            known = ", ".join(f"linux/{name}" for name in ARCHES)
            raise InputError(f"unknown platform {word.strip()!r}", hint=f"one of {known}")
        arches.append(arch)
    return tuple(dict.fromkeys(arches))


def builder_settings(flags: PkgFlags, settings: Settings) -> Settings:
    """The settings with what the flags say about this machine's builder.

    --builders overrides the setting `builders`, which overrides LINUXKIT_BUILDERS.

    Raises:
        InputError: a flag has an invalid value.
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
