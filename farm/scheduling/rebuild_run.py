"""Submit the second build of attested images, and compare both.

What is stored in Redis is not believed: the second image counts by its attestation.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.attestation.check import attestations
from farm.attestation.worker_key import fingerprint
from farm.errors import AttestationError, FarmError, StateError
from farm.model import Run
from farm.package.pack_context import pack_context
from farm.package.read_packages import directories_below, read_packages
from farm.package.tags import TagOptions
from farm.planning.rebuild import rebuild_work
from farm.registry.compare_images import ImageDifferences, compare_images
from farm.registry.index import Index, is_attestation, members_of
from farm.registry.oci import INDEXES, naming
from farm.scheduling.celery_app import COMMAND_TRIES, make_app
from farm.scheduling.coordinator import submit_run
from farm.state.contexts import keep_contexts, put_context
from farm.state.run_names import new_name
from farm.state.workers import known_workers, others
from farm.system.files import spool
from farm.system.identity import user_at_host
from farm.trust.attested_builds import worker_keys
from farm.trust.orders import sign_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.attestation.check import Attestation
    from farm.model import Job, Package, Reference
    from farm.model.order import OrderedRun
    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.state.run_handles import RunHandle
    from farm.state.store import Store
    from farm.trust.policy import Policy


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One architecture's image, and what became of it when it was built again."""

    arch: str
    first: Attestation
    second: Attestation
    differences: ImageDifferences
    bases: tuple[tuple[str, str, str], ...]
    """Base images that were others: name, digest of the first build, of the second."""

    @property
    def reproduced(self) -> bool:
        """Whether both builds gave the same bytes."""
        return self.first.provenance.image == self.second.provenance.image

    @property
    def by_another(self) -> bool:
        """Whether another worker built it the second time."""
        return self.first.key != self.second.key

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        first, second = self.first.provenance, self.second.provenance
        return {
            "arch": self.arch,
            "reproduced": self.reproduced,
            "digest": first.image,
            "worker": self.first.worker,
            "rebuiltDigest": second.image,
            "rebuiltBy": self.second.worker,
            "bases": [dict(zip(("name", "first", "second"), one, strict=True)) for one in self.bases],
            **self.differences.to_json(),
        }


def plan_rebuild(
    found: Mapping[str, Attestation], reference: Reference, settings: Settings, store: Store
) -> OrderedRun:
    """The signed order to build the images again, each on another worker than before where there is one.

    Raises:
        AttestationError: as `rebuild_work`.
        StateError: a build context is not stored any more, and cannot be packed here.
    """
    run = new_name(store)
    work = rebuild_work(found, reference, run)
    first = {arch: (fingerprint(one.key),) for arch, one in found.items()}
    known = known_workers(store)
    jobs = tuple(
        replace(job, other_than=first[job.arch]) if others(known, job.arch, first[job.arch]) else job
        for job in work.jobs
    )
    keep_or_pack(jobs, settings, store)
    return sign_run(Run(run, user_at_host(), time.time(), (replace(work, jobs=jobs),)), settings)


def keep_or_pack(jobs: Sequence[Job], settings: Settings, store: Store) -> None:
    """Make sure that the contexts of jobs are stored; those that are not are packed here, from git."""
    contexts = {job.context: job for job in jobs}
    for digest in keep_contexts(store, sorted(contexts), keep=settings.keep):
        job = contexts[digest]
        with spool() as tar:
            for package in _candidates(job):
                tar.seek(0)
                tar.truncate()
                if pack_context(package, tar).digest == digest:
                    tar.seek(0)
                    put_context(store, digest, tar, keep=settings.keep)
                    break
            else:
                commit = _commit(job)
                raise StateError(
                    f"the context of {job.package} is not stored any more",
                    hint=f"run this in a clone of its repository that has the commit {commit or '(unknown)'}",
                )


def _commit(job: Job) -> str:
    return dict(job.labels).get("org.opencontainers.image.revision", "")


def _candidates(job: Job) -> Iterable[Package]:
    """The packages at or below the current directory that have the tree of a job, at its commit."""
    options = TagOptions(hash_commit=_commit(job) or "HEAD", build_yml=job.build_yml)
    try:
        directories = directories_below([os.curdir], job.build_yml)
    except FarmError:
        return
    for directory in directories:
        try:
            (package,) = read_packages([directory], options)
        except FarmError:
            # It is of another kind, or did not exist at that commit.
            continue
        if package.tree == job.tree:
            yield package


def submit_rebuild(ordered: OrderedRun, settings: Settings, store: Store) -> RunHandle:
    """Submit the run of `plan_rebuild`."""
    return submit_run(make_app(settings, tries=COMMAND_TRIES), store, ordered)


def compare_rebuilt(
    registry: Registry, policy: Policy, ordered: OrderedRun, found: Mapping[str, Attestation]
) -> list[Rebuild]:
    """What became of each image, by the attestation of its second build.

    Raises:
        AttestationError: no worker of the policy attests the second build.
    """
    (work,) = ordered.run.works
    return [_compare(registry, policy, ordered, job, found[job.arch]) for job in work.jobs]


def _compare(
    registry: Registry, policy: Policy, ordered: OrderedRun, job: Job, first: Attestation
) -> Rebuild:
    pushed = registry.existing(job.reference.for_arch(job.arch))
    digests = [pushed.descriptor.digest]
    if pushed.descriptor.media_type in INDEXES:
        with naming(job.reference):
            members = members_of(Index.parse(pushed.body), job.arch)
        digests = [one.digest for one in members if not is_attestation(one)]
    keys = worker_keys(policy)
    for digest in digests:
        for one in attestations(registry, job.reference, digest, keys, job.arch):
            if one.provenance.order == ordered.order.digest:
                differences = compare_images(registry, job.reference, first.provenance.image, digest)
                return Rebuild(job.arch, first, one, differences, _changed_bases(first, one))
    raise AttestationError(
        f"{job.reference.for_arch(job.arch).familiar}: no worker of the policy attests the second build",
        hint="somebody else changed that tag; verify again",
    )


def _changed_bases(first: Attestation, second: Attestation) -> tuple[tuple[str, str, str], ...]:
    one, two = (
        {uri: digest for uri, digest in each.provenance.materials if uri.startswith("docker-image:")}
        for each in (first, second)
    )
    return tuple(
        (uri.removeprefix("docker-image:"), one.get(uri, ""), two.get(uri, ""))
        for uri in sorted(one.keys() | two.keys())
        if one.get(uri) != two.get(uri)
    )
