"""From what is asked and what was found to what there is to do: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from farm.errors import DirtyError, InputError
from farm.model import ARCHES, Copy, Job, PackageWork, Run
from farm.planning.plan import Found, PackagePlan, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.model import Package


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What the maintainer asked for, beyond the packages."""

    arches: tuple[str, ...]
    """Architectures of a package that names none."""
    platforms: tuple[str, ...] = ()
    """Architectures of every package, whatever it names."""
    skip: tuple[str, ...] = ()
    """Architectures that no package is wanted for."""
    only: tuple[str, ...] = ()
    """Build just these of each package's architectures, and publish in part."""
    sign: bool = True
    force: bool = False
    partial: bool = False
    every_image: bool = False
    """Whether to look for images of architectures that the package does not name, too."""
    release: str = ""
    """A tag under which every package is to stand too, such as v1.2; "" for none."""
    images_only: bool = False
    """Whether no index is to be made: the images are pushed, and that is all."""


def refuse_unpushable(packages: Sequence[Package]) -> None:
    """Refuse packages whose tag does not name committed content.

    Raises:
        DirtyError: a package has uncommitted changes.
        InputError: a package is not in git.
    """
    for package in packages:
        if package.dirty:
            raise DirtyError(
                f"{package.directory}: has uncommitted changes, and a tag names what is committed",
                hint="commit or stash them; `git status` shows which",
            )
        if not package.commit:
            raise InputError(
                f"{package.directory}: is not in git", hint="git init, git add and git commit it"
            )


def arches_of(package: Package, wish: PushOptions) -> tuple[str, ...]:
    """The architectures that a package's index must hold."""
    arches = wish.platforms or package.yml.arches or wish.arches
    return tuple(arch for arch in arches if arch not in wish.skip and (not wish.only or arch in wish.only))


def looked_for(package: Package, wish: PushOptions) -> tuple[str, ...]:
    """The architectures whose images are looked for."""
    return tuple(dict.fromkeys((*arches_of(package, wish), *(ARCHES if wish.every_image else ()))))


def make_plan(
    packages: Sequence[Package],
    found: Mapping[str, Found],
    needs: Mapping[str, Sequence[str]],
    wish: PushOptions,
    warnings: Sequence[str] = (),
) -> Plan:
    """Decide what there is to do.

    Args:
        packages: what was submitted.
        found: package name to what stands of it.
        needs: package name to the packages of the submission that it is built FROM.
        wish: what was asked for beyond the packages.
        warnings: what the maintainer should know, as found on the way.

    Raises:
        InputError: packages need one another in a circle, a package has none of the architectures, or the
            release stands already, as something else.
    """
    by_name = {package.image: package for package in packages}
    plans: dict[str, PackagePlan] = {}
    skipped: list[str] = []
    for name in in_order(by_name, needs):
        package = by_name[name]
        arches = arches_of(package, wish)
        if not arches and wish.skip:
            skipped.append(f"{package.image}: has no other architectures, and is passed over")
            continue
        if not arches:
            raise InputError(f"{package.directory}: is built for none of {', '.join(wish.only)}")
        waits = tuple(need for need in needs.get(name, ()) if need in plans and not plans[need].nothing)
        plans[name] = PackagePlan(
            package,
            arches,
            found.get(name, Found()),
            wish.sign and not package.yml.disable_content_trust,
            waits,
            wish.force,
            wish.release,
            wish.images_only,
        )
    _refuse_conflicts(plans.values(), wish.release)
    if wish.images_only:
        _refuse_unfounded(plans, needs)
    return Plan(tuple(plans.values()), (*warnings, *skipped))


def _refuse_conflicts(plans: Iterable[PackagePlan], release: str) -> None:
    taken = [plan.package.reference.with_tag(release).familiar for plan in plans if plan.conflicts]
    if taken:
        stands = "stands already, as something else" if len(taken) == 1 else "stand already, as others"
        raise InputError(
            f"{', '.join(taken)} {stands}; nothing is released", hint="choose another name for the release"
        )


def _refuse_unfounded(plans: Mapping[str, PackagePlan], needs: Mapping[str, Sequence[str]]) -> None:
    """Refuse to build a package FROM another whose index neither stands nor is to be made."""
    for name, plan in plans.items():
        for need in needs.get(name, ()) if plan.build else ():
            if need in plans and not plans[need].found.indexed.issuperset(plans[need].arches):
                raise InputError(
                    f"{name} is built FROM {need}, whose index does not stand and is not to be made",
                    hint=f"push {need} first, with its index",
                )


def in_order(names: Mapping[str, Package], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names, each after those that it needs, otherwise as they were given."""
    graph = TopologicalSorter({name: needs.get(name, ()) for name in names})
    try:
        return list(graph.static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise InputError(f"packages are built FROM one another in a circle: {circle}") from error


def make_run(
    plan: Plan,
    contexts: Mapping[str, str],
    arguments: Mapping[str, tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]],
    *,
    run: str,
    submitter: str,
    created: float,
    partial: bool = False,
) -> Run:
    """The run that carries out a plan.

    Args:
        plan: what there is to do.
        contexts: package name to the digest of its packed context.
        arguments: package name to its (labels, build arguments).
        run: its name.
        submitter: who asks for it.
        created: Unix time, seconds.
        partial: whether an index may be published while an architecture is missing.
    """
    works = tuple(
        _work(
            item, run, contexts.get(item.package.image, ""), *arguments[item.package.image], partial=partial
        )
        for item in plan.todo
    )
    return Run(run, submitter, created, (*works, *_release(plan)))


def _release(plan: Plan) -> tuple[PackageWork, ...]:
    """The release of all packages at once, when every one of them stands; none where none is asked for."""
    if not plan.releases:
        return ()
    copies = tuple(Copy(item.package.reference, item.release, item.sign) for item in plan.releases)
    return (
        PackageWork(
            f"release {copies[0].tag}",
            copies[0].target,
            arches=(),
            needs=tuple(item.package.image for item in plan.todo),
            sign=any(copy.sign for copy in copies),
            copies=copies,
        ),
    )


def _work(
    plan: PackagePlan,
    run: str,
    context: str,
    labels: tuple[tuple[str, str], ...],
    build_args: tuple[tuple[str, str], ...],
    *,
    partial: bool,
) -> PackageWork:
    package, yml = plan.package, plan.package.yml
    jobs = tuple(
        Job(
            run=run,
            package=package.image,
            reference=package.reference,
            arch=arch,
            hash=package.hash,
            tag=yml.tag,
            context=context,
            destinations=tuple(tree.dst for tree in package.trees[1:]),
            dockerfile=yml.dockerfile,
            network=yml.network,
            no_cache=yml.disable_cache,
            force=plan.force,
            labels=labels,
            build_args=build_args,
            depends=yml.depends if yml.depends and yml.depends.images else None,
        )
        for arch in plan.build
    )
    standing = tuple(image for arch, image in plan.found.images.items() if arch not in plan.build)
    return PackageWork(
        package.image,
        package.reference,
        plan.arches,
        jobs,
        standing,
        plan.needs,
        sign=plan.sign and not plan.images_only,
        partial=partial,
        images_only=plan.images_only,
    )
