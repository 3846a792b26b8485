"""From directories to a plan: read the packages, look up what stands, decide."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.package.dockerfile import needs, stale_needs
from farm.package.git import read_files
from farm.package.read_packages import read_packages
from farm.planning.decide import make_plan, refuse_unpushable
from farm.planning.lookup import find
from farm.registry.connect import open_registry
from farm.trust.signers import make_signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Package
    from farm.package.read_packages import TagOptions
    from farm.planning.decide import PushOptions
    from farm.planning.plan import Plan
    from farm.settings import Settings


def prepare(directories: Sequence[str], options: TagOptions, settings: Settings, wish: PushOptions) -> Plan:
    """The plan for these package directories; changes nothing anywhere.

    Raises:
        InputError: a package cannot be pushed; the message names it.
        RegistryError, TrustError: what stands cannot be found out.
    """
    packages = read_packages(directories, options)
    refuse_unpushable(packages)
    refuse_other_build_yml(packages, options)
    arguments = dict(settings.build_args)
    wanted = needs(packages, arguments)
    with open_registry(settings) as registry:
        found = find(packages, registry, make_signer(settings, registry.credentials), wish)
    return make_plan(packages, found, wanted, wish, stale_needs(packages, arguments))


def refuse_other_build_yml(packages: Sequence[Package], options: TagOptions) -> None:
    """Refuse to build another commit's content by the working directory's build.yml.

    Raises:
        InputError: the build.yml of a package is another at that commit.
    """
    if not options.other_commit:
        return
    groups: dict[tuple[str, str], dict[str, Package]] = defaultdict(dict)
    for package in packages:
        listed = package.yml.depends.from_file if package.yml.depends else None
        for name in filter(None, (options.build_yml, listed)):
            path = f"{package.trees[0].path}/{name}".removeprefix("/")
            groups[package.repository, str(package.commit)][path] = package
    for (repository, commit), paths in groups.items():
        committed = read_files(repository, commit, tuple(paths))
        for path, package in paths.items():
            if committed.get(path) != (Path(repository) / path).read_bytes():
                raise InputError(
                    f"{package.directory}: {Path(path).name} is another at {options.hash_commit}",
                    hint=f"git checkout {options.hash_commit}, then push",
                )
