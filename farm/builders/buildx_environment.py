"""Which buildx builder builds an architecture, and the environment in which docker's programs run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from farm.builders.buildx_plugin import AS_PLUGIN
from farm.builders.docker_engine import DEFAULT_URL
from farm.settings import buildx_environment

if TYPE_CHECKING:
    from pathlib import Path

    from farm.settings import Settings

DEFAULT_BUILDER = "default"
"""buildx's name for the builder of the engine that DOCKER_HOST names."""


def builder_for(settings: Settings, arch: str) -> str:
    """The name of the buildx builder for an architecture."""
    return dict(settings.builders).get(f"linux/{arch}", DEFAULT_BUILDER)


def is_context(docker_config: Path, name: str) -> bool:
    """Whether docker has a context of that name."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    return (docker_config / "contexts" / "meta" / folder / "meta.json").is_file()


def client_environment(settings: Settings, builder: str) -> dict[str, str]:
    """The environment for docker's programs: engine, docker's configuration, and variables with secrets."""
    secrets = [source[4:] for _, source in settings.build_secrets if source.startswith("env:")]
    configuration = {"DOCKER_CONFIG": str(settings.docker_config), **AS_PLUGIN}
    return buildx_environment(secrets) | configuration | _engine(settings, builder)


def _engine(settings: Settings, builder: str) -> dict[str, str]:
    # buildx uses a context as a builder only if it is the current one, and DOCKER_HOST would override that.
    if is_context(settings.docker_config, builder):
        return {"DOCKER_CONTEXT": builder}
    url = settings.engine or DEFAULT_URL
    tls = settings.engine_certs if url.startswith("tcp://") else None
    certs = {"DOCKER_CERT_PATH": str(tls), "DOCKER_TLS_VERIFY": "1"} if tls else {}
    return {"DOCKER_HOST": url, **certs}
