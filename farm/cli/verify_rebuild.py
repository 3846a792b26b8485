"""The part of `farm verify` that builds images again on another worker and compares the bytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm.cli.options import attached
from farm.cli.output import print_answer, print_note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import Reference
    from farm.model.order import OrderedRun
    from farm.scheduling.rebuild_run import Rebuild
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle

_FILES = 20
"""Files of a layer that are printed; the JSON has more."""
_CHECK = 5.0
"""Seconds between two looks at whether there is still another worker."""


def rebuild(
    settings: Settings, reference: Reference, arches: Sequence[str] = (), *, as_json: bool = False
) -> int:
    """Build the images of a reference again, and print in what they differ; returns 0 if in nothing, else 1.

    The second build has a tag of its own, which is removed afterwards. Without `arches`, all are built.
    """
    from farm.planning.rebuild import find_attested
    from farm.private_farm.connect import require_workers
    from farm.registry.client import open_registry
    from farm.scheduling.rebuild_run import (
        compare_rebuilt,
        plan_rebuild,
        submit_rebuild,
    )
    from farm.trust.own_rights import check_own_rights
    from farm.trust.places import current_policy

    reference = reference.or_latest()
    with open_registry(settings) as registry:
        policy = current_policy(settings)
        found = find_attested(registry, policy, reference, arches)
        with attached(settings, builds=True) as (connected, store):
            check_own_rights(connected, [reference.name], release=False)
            require_workers(connected, store, {*found, "publish"})
            ordered = plan_rebuild(found, reference, connected, store)
            run = submit_rebuild(ordered, connected, store)
            print_note(f"{run} builds {reference.familiar} again for {', '.join(found)}")
            _wait(run, ordered)
        (work,) = ordered.run.works
        results = compare_rebuilt(registry, policy, ordered, found)
        for job in work.jobs:
            target = job.reference.for_arch(job.arch)
            if not registry.untag(target):
                print_note(f"{target.familiar} stays: the registry did not remove the tag")
    reproduced = all(one.reproduced for one in results)
    data = {"reference": str(reference), "run": run.id, "reproduced": reproduced}
    lines = [line for one in results for line in _lines(reference, one)]
    print_answer(data | {"images": [one.to_json() for one in results]}, lines, as_json=as_json)
    return 0 if reproduced else 1


def _wait(run: RunHandle, ordered: OrderedRun) -> None:
    """Wait until the images are built.

    Raises:
        NoWorkerError: the other workers have gone; the run is cancelled.
        FarmError: a build failed.
    """
    from farm.errors import StateError
    from farm.state import following
    from farm.state.runs import read_run

    view = following.RunView(read_run(run))
    checked = time.monotonic()
    for _ in following.follow(run, view):
        if time.monotonic() - checked > _CHECK:
            checked = time.monotonic()
            _require_others(run, ordered)
    for package in view.record().packages.values():
        if not package.state.succeeded:
            raise package.error or StateError(f"{run}: {package.package} is {package.state}")


def _require_others(run: RunHandle, ordered: OrderedRun) -> None:
    from farm.errors import NoWorkerError
    from farm.scheduling.cancel import cancel
    from farm.state.workers import known_workers, others
    from farm.system.identity import user_at_host

    known = known_workers(run.store)
    for job in (job for work in ordered.run.works for job in work.jobs if job.other_than):
        if not others(known, job.arch, job.other_than):
            cancel(run, by=user_at_host())
            raise NoWorkerError(
                f"the other workers for {job.arch} have gone, and the one left built the image before",
                hint="start another one, and verify again",
            )


def _lines(reference: Reference, one: Rebuild) -> Iterator[str]:
    first, second = one.first.provenance, one.second.provenance
    by = one.second.worker
    who = f"by {by}" if one.by_another else f"by the same worker, {by}: there is no other for {one.arch}"
    if one.reproduced:
        yield f"{reference.familiar}  {one.arch}  reproduced {who}  {first.image}"
        return
    yield f"{reference.familiar}  {one.arch}  differs, built again {who}"
    yield f"  image: {first.image} -> {second.image}"
    for name, before, after in one.bases:
        yield f"  base image {name}: {before or 'not used'} -> {after or 'not used'}"
    for line in one.differences.lines(_FILES):
        yield f"  {line}"
