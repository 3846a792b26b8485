"""The command line of a build by buildx. Other users can read it: it names secrets, and tells none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.builders.build_arguments import PROXIES
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from farm.builders.build_spec import BuildSpec
    from farm.settings import Settings


def command(
    spec: BuildSpec, settings: Settings, builder: str, output: str, environment: Mapping[str, str]
) -> list[str]:
    """The words after the program's name; the context comes on its standard input.

    Args:
        spec: what to build.
        settings: those of this machine.
        builder: what builds it, by buildx's name for it.
        output: where the image goes, as `pushed`, `archived` or `loaded` says it.
        environment: that of buildx, from which it takes the proxies, which may hold a password.
    """
    switches = {"--pull": spec.pull, "--no-cache": spec.no_cache}
    return [
        "build",
        "--progress=rawjson",
        f"--builder={builder}",
        f"--platform={spec.platform}",
        f"--file={spec.dockerfile}",
        f"--output={output}",
        f"--network={'default' if spec.network else 'none'}",
        *([f"--target={spec.target}"] if spec.target else []),
        *(switch for switch, on in switches.items() if on),
        *(f"--label={name}={value}" for name, value in spec.labels),
        *(_build_arg(name, value, environment) for name, value in spec.build_args),
        *(f"--build-context={name}={layout}" for name, layout in spec.layouts),
        *(f"--secret={_secret(name, source)}" for name, source in settings.build_secrets),
        *(f"--ssh={source}" for source in settings.build_ssh),
        *_caches(spec, settings),
        f"--sbom={_sbom(settings.sbom)}",
        f"--provenance={f'mode={settings.provenance}' if settings.provenance else 'false'}",
        "-",
    ]


def pushed(spec: BuildSpec, settings: Settings) -> str:
    """To its registry, under every tag."""
    insecure = any(Reference.parse(tag).registry in settings.insecure_registries for tag in spec.tags)
    return f'type=image,"name={",".join(spec.tags)}",push=true' + (
        ",registry.insecure=true" if insecure else ""
    )


def archived(file: Path) -> str:
    """Into a file: an OCI image layout in a tar, attestations and all."""
    return f'type=oci,"dest={file}"'


def loaded(name: Reference) -> str:
    """Into the engine that builds it, under this name; attestations cannot go there."""
    return f"type=docker,name={name}"


def _build_arg(name: str, value: str, environment: Mapping[str, str]) -> str:
    known = name in PROXIES and environment.get(name) == value
    return f"--build-arg={name}" if known else f"--build-arg={name}={value}"


def _secret(name: str, source: str) -> str:
    variable = source.removeprefix("env:")
    return f"id={name},env={variable}" if variable != source else f'id={name},"src={source}"'


def _caches(spec: BuildSpec, settings: Settings) -> Iterator[str]:
    name = Reference.parse(spec.tags[0]).repository.rpartition("/")[2]

    def place(text: str) -> str:
        return f"type=registry,ref={text.replace('{name}', name).replace('{arch}', spec.arch)}"

    yield from (f"--cache-from={place(text)}" for text in settings.build_cache_from)
    # A cache that cannot be written makes no build worse.
    yield from (f"--cache-to={place(text)},mode=max,ignore-error=true" for text in settings.build_cache_to)


def _sbom(wanted: str | None) -> str:
    if wanted is None:
        return "false"
    return wanted if wanted == "true" else f"generator={wanted}"
