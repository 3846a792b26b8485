"""From directories to a plan: read the packages, look up what is published, decide."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.package.dockerfile import needs, stale_needs
from farm.package.git import read_files
from farm.package.read_packages import read_packages
from farm.planning.decide import make_plan, refuse_unpushable
from farm.planning.lookup import look_up
from farm.registry.client import open_registry
from farm.trust.choice import make_signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Package
    from farm.package.tag_options import TagOptions
    from farm.planning.plan import Plan
    from farm.planning.push_options import PushOptions
    from farm.settings import Settings


def prepare(directories: Sequence[str], tags: TagOptions, settings: Settings, options: PushOptions) -> Plan:
    """The plan for these package directories; changes nothing.

    Raises:
        InputError: a package cannot be pushed; the message names it.
        RegistryError, TrustError: what is published or signed cannot be read.
    """
    packages = read_packages(directories, tags)
    refuse_unpushable(packages)
    refuse_other_build_yml(packages, tags)
    arguments = dict(settings.build_args)
    dependencies = needs(packages, arguments)
    with open_registry(settings) as registry:
        published = look_up(packages, registry, lambda: make_signer(settings, registry.credentials), options)
    return make_plan(packages, published, dependencies, options, stale_needs(packages, arguments))


def refuse_other_build_yml(packages: Sequence[Package], tags: TagOptions) -> None:
    """Refuse to build the content of another commit with the build.yml of the working directory.

    Raises:
        InputError: the build.yml of a package differs at that commit.
    """
    if not tags.other_commit:
        return
    groups: dict[tuple[str, str], dict[str, Package]] = defaultdict(dict)
    for package in packages:
        images_file = package.yml.depends.from_file if package.yml.depends else None
        for name in filter(None, (tags.build_yml, images_file)):
            path = f"{package.trees[0].path}/{name}".removeprefix("/")
            groups[package.repository, str(package.commit)][path] = package
    for (repository, commit), paths in groups.items():
        committed = read_files(repository, commit, tuple(paths))
        for path, package in paths.items():
            if committed.get(path) != (Path(repository) / path).read_bytes():
                raise InputError(
                    f"{package.directory}: {Path(path).name} is different at {tags.hash_commit}",
                    hint=f"git checkout {tags.hash_commit}, then push",
                )
