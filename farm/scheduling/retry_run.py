"""Submit again what failed, was cancelled or was lost in another run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import StateError
from farm.planning.make_run import again, to_repeat
from farm.registry.client import open_registry
from farm.scheduling.submission import submit_signed
from farm.state.contexts import keep_contexts
from farm.state.run_names import new_name
from farm.state.runs import read_order, read_run
from farm.system.identity import user_at_host
from farm.trust.attested_builds import ImageOrigin, OrderedBuild
from farm.trust.existing_images import ExistingImage, attested_images
from farm.trust.orders import verify_order, verify_part
from farm.trust.own_rights import check_own_works
from farm.trust.places import current_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import ArchImage, PackageWork, Run
    from farm.settings import Settings
    from farm.state.records import RunRecord
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store
    from farm.trust.orders import VerifiedOrder
    from farm.trust.policy import Policy


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """A run that repeats the packages of another that did not succeed."""

    run: Run
    added: dict[str, str]
    """Packages that were not asked for, each with the one that depends on it."""


def plan_retry(run: RunHandle, settings: Settings, names: Sequence[str] = ()) -> RetryPlan | None:
    """Plan a run of what failed, was cancelled or was lost in `run`; None if nothing was.

    `names` choose packages by name or the last part of it, together with their dependencies; without them
    all are repeated. What is repeated is what a maintainer ordered: nothing else in Redis is believed.

    Raises:
        OrderError: no maintainer has signed it.
        PolicyError: the maintainer of this machine may not order it.
    """
    record = read_run(run)
    packages = to_repeat(record, [record.find_package(name) for name in names])
    if not packages:
        return None
    policy, store = current_policy(settings), run.store
    order, works = _ordered_works(run, list(packages), policy)
    check_own_works(settings, works)
    built = _built(record, order, works, settings, policy)
    new = again(record, works, built, run=new_name(store), submitter=user_at_host(), created=time.time())
    return RetryPlan(new, {name: needed_by for name, needed_by in packages.items() if needed_by})


def _ordered_works(
    run: RunHandle, packages: Sequence[str], policy: Policy
) -> tuple[VerifiedOrder, list[PackageWork]]:
    signed, parts = read_order(run, packages)
    verified = verify_order(run.id, signed, policy, time.time())
    pairs = zip(packages, parts, strict=True)
    return verified, [verify_part(verified, package, part, policy) for package, part in pairs]


def _built(
    record: RunRecord, order: VerifiedOrder, works: Sequence[PackageWork], settings: Settings, policy: Policy
) -> dict[str, dict[str, ArchImage]]:
    """The images that the run built, by package and architecture: those that authorised workers attest."""
    names = {work.reference: work.package for work in works}
    wanted = []
    for work in works:
        for job in work.jobs:
            done = record.packages[work.package].jobs.get(job.arch)
            if done and done.state.succeeded and done.image:
                build = OrderedBuild.of(order.digest, order.order.created, job)
                origin = ImageOrigin(work.reference, work.tree)
                wanted.append(ExistingImage(done.image, origin, build))
    built: dict[str, dict[str, ArchImage]] = {}
    with open_registry(settings) as registry:
        for one in attested_images(registry, policy, wanted):
            built.setdefault(names[one.origin.reference], {})[one.image.arch] = one.image
    return built


def submit_retry(store: Store, settings: Settings, run: Run) -> RunHandle:
    """Submit a run of `plan_retry`; StateError if a context has expired."""
    contexts = sorted({job.context for work in run.works for job in work.jobs})
    if expired := keep_contexts(store, contexts, keep=settings.keep):
        name = next(work.package for work in run.works for job in work.jobs if job.context in expired)
        raise StateError(f"the context of {name} has expired", hint="farm push its directory again")
    return submit_signed(run, settings, store, run.priority)
