"""From directories to a plan: read the packages, look up what stands, decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.package.dockerfile import needs, stale_needs
from farm.package.read import read_packages
from farm.plan.find import find
from farm.plan.make import make_plan, refuse_unpushable
from farm.registry.client import Registry
from farm.registry.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.package.read import TagOptions
    from farm.plan.make import Wish
    from farm.plan.model import Plan
    from farm.settings import Settings


def prepare(directories: Sequence[str], options: TagOptions, settings: Settings, wish: Wish) -> Plan:
    """The plan for these package directories; changes nothing anywhere.

    Raises:
        InputError: a package cannot be pushed; the message names it.
        RegistryError, TrustError: what stands cannot be found out.
    """
    packages = read_packages(directories, options)
    refuse_unpushable(packages)
    arguments = dict(settings.build_args)
    wanted = needs(packages, arguments)
    with open_registry(settings) as registry:
        found = find(packages, registry, settings, wish)
    return make_plan(packages, found, wanted, wish, stale_needs(packages, arguments))


def open_registry(settings: Settings) -> Registry:
    """A registry client as the settings say."""
    credentials = Credentials.load(settings.docker_config)
    return Registry(credentials, insecure=settings.insecure_registries, timeout=settings.http_timeout)
