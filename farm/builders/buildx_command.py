"""The command line of a build by buildx. Other users of the machine can read it, so it holds no secret.

https://docs.docker.com/reference/cli/docker/buildx/build/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.builders.build_arguments import PROXIES
from farm.builders.buildx_plugin import DEFAULT_BUILDER, builder_for, is_context
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from farm.builders.builder import BuildSpec
    from farm.settings import Settings


REWRITE = "rewrite-timestamp=true"
"""Set the times of files that are newer than SOURCE_DATE_EPOCH to it; BuildKit before 0.13 ignores this."""


def command(
    spec: BuildSpec,
    settings: Settings,
    builder: str,
    output: str,
    environment: Mapping[str, str],
    metadata: Path,
) -> list[str]:
    """The arguments of `docker buildx`, which reads the context from its standard input.

    `output` is `to_registry`, `to_file` or `to_engine`. From its `environment`, buildx takes proxies, which
    may contain a password. It writes the digest of the image to the file `metadata`.
    """
    switches = {"--pull": spec.pull, "--no-cache": spec.no_cache}
    return [
        "build",
        "--progress=rawjson",
        f"--builder={builder}",
        f"--platform={spec.platform}",
        f"--file={spec.dockerfile}",
        f"--output={output}",
        f"--metadata-file={metadata}",
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


def to_registry(spec: BuildSpec, settings: Settings) -> str:
    """Push the image under every tag."""
    insecure = any(Reference.parse(tag).registry in settings.insecure_registries for tag in spec.tags)
    option = ",registry.insecure=true" if insecure else ""
    builder = builder_for(settings, spec.arch)
    # BuildKit in a Docker Engine unpacks what it builds, which excludes this.
    in_engine = builder == DEFAULT_BUILDER or is_context(settings.docker_config, builder)
    times = f",{REWRITE}" if spec.has_epoch and not in_engine else ""
    return f'type=image,"name={",".join(spec.tags)}",push=true{option}{times}'


def to_file(spec: BuildSpec, file: Path) -> str:
    """Write an OCI image layout in a tar, attestations included."""
    return f'type=oci,"dest={file}"{f",{REWRITE}" if spec.has_epoch else ""}'


def to_engine(name: Reference) -> str:
    """Load the image into the engine that builds it, without attestations."""
    return f"type=docker,name={name}"


def _build_arg(name: str, value: str, environment: Mapping[str, str]) -> str:
    inherited = name in PROXIES and environment.get(name) == value
    return f"--build-arg={name}" if inherited else f"--build-arg={name}={value}"


def _secret(name: str, source: str) -> str:
    variable = source.removeprefix("env:")
    return f"id={name},env={variable}" if variable != source else f'id={name},"src={source}"'


def _caches(spec: BuildSpec, settings: Settings) -> Iterator[str]:
    name = Reference.parse(spec.tags[0]).repository.rpartition("/")[2]

    def cache(text: str) -> str:
        return f"type=registry,ref={text.replace('{name}', name).replace('{arch}', spec.arch)}"

    yield from (f"--cache-from={cache(text)}" for text in settings.build_cache_from)
    # A failed cache export does not fail the build.
    yield from (f"--cache-to={cache(text)},mode=max,ignore-error=true" for text in settings.build_cache_to)


def _sbom(setting: str | None) -> str:
    if setting is None:
        return "false"
    return setting if setting == "true" else f"generator={setting}"
