"""From a plan to the run that carries it out: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.model import Copy, Job, PackageWork, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.planning.plan import PackagePlan, Plan

    Pairs = tuple[tuple[str, str], ...]


def make_run(
    plan: Plan,
    contexts: Mapping[str, str],
    arguments: Mapping[str, tuple[Pairs, Pairs]],
    *,
    run: str,
    submitter: str,
    created: float,
    partial: bool = False,
) -> Run:
    """The run that carries out a plan.

    Args:
        plan: what is left to do.
        contexts: package name to the digest of its build context.
        arguments: package name to its (labels, build arguments).
        run: its name.
        submitter: USER@HOST.
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
    """The release of all packages at once, after all of them; none if no release is asked for."""
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
    plan: PackagePlan, run: str, context: str, labels: Pairs, build_args: Pairs, *, partial: bool
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
    return PackageWork(
        package.image,
        package.reference,
        plan.arches,
        jobs,
        existing=tuple(image for arch, image in plan.published.images.items() if arch not in plan.build),
        needs=plan.needs,
        sign=plan.sign and not plan.images_only,
        partial=partial,
        images_only=plan.images_only,
    )
