"""Opening a registry client with the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.registry.client import Registry
from farm.registry.credentials import Credentials

if TYPE_CHECKING:
    from farm.settings import Settings


def open_registry(settings: Settings, *, mirrored: bool = False) -> Registry:
    """A registry client with the settings' logins, certificates and time limits.

    Args:
        settings: the settings.
        mirrored: whether to read from mirrors, which must not decide what is built, published or signed.
    """
    credentials = Credentials.load(settings.docker_config, settings.registry_creds)
    return Registry(
        credentials,
        insecure=settings.insecure_registries,
        certs=settings.registry_certs,
        authorities=settings.registry_ca,
        mirrors=settings.mirrors if mirrored else (),
        timeout=settings.http_timeout,
    )
