"""Pure functions from a plan to the run that carries it out, and from that to the run that repeats it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.model import Copy, Job, PackageWork, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import ArchImage
    from farm.package.tarball import Context
    from farm.planning.plan import PackagePlan, Plan
    from farm.state.records import PackageRecord, RunRecord

    Pairs = tuple[tuple[str, str], ...]


def make_run(
    plan: Plan,
    contexts: Mapping[str, Context],
    arguments: Mapping[str, tuple[Pairs, Pairs]],
    *,
    run: str,
    submitter: str,
    created: float,
    partial: bool = False,
) -> Run:
    """The run that carries out a plan; `created` is Unix time in seconds.

    The build contexts and the arguments (labels, build arguments) are by package name. With
    `partial`, an index may be published while an architecture is missing.
    """
    works = tuple(
        _work(item, run, contexts.get(item.package.image), *arguments[item.package.image], partial=partial)
        for item in plan.work
    )
    return Run(run, submitter, created, (*works, *_release(plan)))


def _release(plan: Plan) -> tuple[PackageWork, ...]:
    """The release of all packages at once, after all of them; none if no release is asked for."""
    if not plan.releases:
        return ()
    copies = tuple(
        Copy(item.package.reference, item.release, item.sign, item.package.tree) for item in plan.releases
    )
    return (
        PackageWork(
            f"release {copies[0].tag}",
            copies[0].target,
            arches=(),
            needs=tuple(item.package.image for item in plan.work),
            sign=any(copy.sign for copy in copies),
            copies=copies,
        ),
    )


def _work(
    plan: PackagePlan, run: str, context: Context | None, labels: Pairs, build_args: Pairs, *, partial: bool
) -> PackageWork:
    package, yml = plan.package, plan.package.yml
    destinations, submodules = package.layout
    jobs = tuple(
        Job(
            run=run,
            package=package.image,
            reference=package.reference,
            arch=arch,
            hash=package.hash,
            tree=package.tree,
            tag=yml.tag,
            context=context.digest if context else "",
            context_size=context.size if context else 0,
            destinations=destinations,
            submodules=submodules,
            dockerfile=yml.dockerfile,
            build_yml=yml.file,
            network=yml.network,
            no_cache=yml.disable_cache,
            force=plan.force,
            labels=labels,
            build_args=build_args,
            bases=plan.bases,
            depends=yml.depends if yml.depends and yml.depends.images else None,
        )
        for arch in plan.build
    )
    return PackageWork(
        package.image,
        package.reference,
        plan.arches,
        jobs,
        existing=tuple(image for arch, image in plan.images.items() if arch not in plan.build),
        needs=plan.needs,
        sign=plan.sign and not plan.images_only,
        partial=partial,
        images_only=plan.images_only,
        tree=package.tree,
        adopted=plan.adopted,
    )


def to_repeat(record: RunRecord, chosen: Sequence[str] = ()) -> dict[str, str]:
    """What a retry repeats: the packages of a run, in its order, that failed or were cancelled.

    If some are chosen, only those. Their dependencies that failed or were cancelled are added.

    Returns:
        Package to the package that needs it, or to "" if it was chosen.

    Raises:
        StateError: one of them needs a package that is still in progress.
    """
    asked = [
        name
        for name, package in record.packages.items()
        if _unsuccessful(package) and (not chosen or name in chosen)
    ]
    needed = dict.fromkeys(asked, "")
    unchecked = list(asked)
    while unchecked:
        name = unchecked.pop()
        for need in record.packages[name].needs:
            package = record.packages[need]
            if not package.state.ended:
                raise StateError(
                    f"{name} needs {need}, which is still {package.state} in {record.id}",
                    hint=f"farm retry {record.id} when that has ended",
                )
            if _unsuccessful(package) and need not in needed:
                needed[need] = name
                unchecked.append(need)
    return {name: needed[name] for name in record.packages if name in needed}


def _unsuccessful(package: PackageRecord) -> bool:
    return package.state.ended and not package.state.succeeded


def again(
    record: RunRecord,
    works: Sequence[PackageWork],
    built: Mapping[str, Mapping[str, ArchImage]],
    *,
    run: str,
    submitter: str,
    created: float,
) -> Run:
    """A run of what failed, was cancelled or was lost in `record`.

    `works` are those of the packages of `to_repeat`; other packages that they need are published. `built` has
    the images that exist already, by package and architecture.
    """
    names = {work.package for work in works}
    repeated = []
    for work in works:
        images = built.get(work.package, {})
        jobs = tuple(replace(job, run=run) for job in work.jobs if job.arch not in images)
        existing = {image.arch: image for image in work.existing} | dict(images)
        needs = tuple(need for need in work.needs if need in names)
        repeated.append(replace(work, jobs=jobs, existing=tuple(existing.values()), needs=needs))
    return Run(run, submitter, created, tuple(repeated), retry_of=record.id, priority=record.priority)
