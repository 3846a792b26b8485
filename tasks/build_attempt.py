"""The attempts of one job to build and push its image; each continues where the last one failed."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, TYPE_CHECKING

from farm.builders.build_arguments import PROXIES, proxy_args
from farm.builders.builder import BuildSpec, Control
from farm.builders.choice import choose_builder
from farm.builders.depends_images import with_depends_images
from farm.errors import FarmError, RegistryError, UnnamedBaseError
from farm.model import JobState
from farm.package.verify_context import verify_context
from farm.registry import read_back
from farm.registry.index import without_attestations
from farm.registry.published_images import arch_image, named_image
from farm.settings import environment
from farm.state import earlier_builds
from farm.state.contexts import get_context
from farm.state.records import JobPatch
from farm.trust.attested_builds import ImageOrigin, OrderedBuild
from farm.trust.verified_images import ImageVerifier
from tasks.attest import attest
from tasks.build_inputs import is_from_scratch, refuse_inputs
from tasks.check_bases import check_bases
from tasks.disk_space import DiskSpace
from tasks.retries import wait_for_redis, within_attempt
from tasks.second_build import first_build, require_enough, require_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.builders.builder import Builder
    from farm.builders.docker_engine import Engine, EngineInfo
    from farm.model import ArchImage, Job, Reference
    from farm.registry.client import Registry
    from farm.state.leases import HeldLease
    from farm.state.logs import LogWriter
    from tasks.orders import OrderedJob
    from tasks.worker_context import WorkerContext

_log = logging.getLogger(__name__)

_PAUSE = (1.0, 3.0)
"""Seconds, at random, before a build is repeated that was merged with another one."""


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """The build and push of one job's image under one lease."""

    context: WorkerContext
    ordered: OrderedJob
    held: HeldLease
    log: LogWriter
    move: Callable[[JobState, JobPatch], None]
    """Records a transition of the job."""
    built: list[str] = field(default_factory=list)
    """The image that was built, by the engine's name for it; a later failure leaves it in the engine."""
    scratch: set[str] = field(default_factory=set)
    """Those of `built` that have no layers of a base image."""
    bases: set[tuple[str, str]] = field(default_factory=set)
    """The base images of what was built, by name and digest."""

    @property
    def job(self) -> Job:
        """What the order says."""
        return self.ordered.job

    @property
    def target(self) -> Reference:
        """NAME:HASH-ARCH."""
        return self.job.reference.for_arch(self.job.arch)

    def attempt(self) -> ArchImage:
        """Build and push what is missing, and record it."""
        if image := self._existing():
            self.move(JobState.BUILT if self.built else JobState.EXISTS, JobPatch(image=image))
            return image
        first = first_build(self.context, self.ordered, within_attempt(self.context.registry))
        started = time.time()
        with ExitStack() as stack:
            engine = stack.enter_context(self.context.engine())
            info = self.context.engine_info(engine)
            disk = DiskSpace(self.context, engine, info.root)
            stack.enter_context(disk.reserved(self.target, built=bool(self.built)))
            builder = choose_builder(self.context.settings, engine, self.context.credentials.login_for)
            # A step that this engine takes from its cache would prove nothing.
            build = partial(self._build, engine, builder, no_cache=first is not None)
            self._build_checked(lambda: disk.build_with_room(build, self.target, report=self.log.write))
            digest = self._push(builder, info)
        image = self._pushed(digest)
        registry = within_attempt(self.context.registry)
        if first:
            require_same(registry, self.job, first, image)
        attest(self.context, self.ordered, image, started=started, bases=self.bases)
        require_enough(self.context, self.job, registry, image)
        self.move(JobState.BUILT, JobPatch(image=image))
        return image

    def _build_checked(self, build: Callable[[], None]) -> None:
        """Build, and check from which base images; build again if the builder does not say that.

        BuildKit merges equal steps of simultaneous builds, and reports them to one of these.
        """
        registry, policy = within_attempt(self.context.registry), self.context.policy
        build()
        try:
            check_bases(self.job, self.bases, registry, policy)
        except UnnamedBaseError as error:
            self.log.write(f"{error.message}: building it again")
            self.built.clear()
            self.held.stopped.wait(random.uniform(*_PAUSE))  # noqa: S311 - no secret
            build()
            check_bases(self.job, self.bases, registry, policy)

    def _existing(self) -> ArchImage | None:
        """The image of the architecture tag, if it is what this job would build, or has built."""
        registry = within_attempt(self.context.registry)
        image = named_image(registry, self.target, self.job.arch)
        if image is None:
            return None
        origin = ImageOrigin(self.job.reference, self.job.tree)
        verifier = ImageVerifier(registry, self.context.policy, origin)
        found = verifier.verify(image)
        if found is None:
            why = verifier.why_not(without_attestations(image)[0].digest)
            self.log.write(f"{self.target.familiar} exists, but {why}: it is built again")
            return None
        verified = self.ordered.verified
        build = OrderedBuild.of(verified.digest, verified.order.created, self.job)
        return found.image if build.is_made(found.orders, found.recipes) else None

    def _pushed(self, digest: str) -> ArchImage:
        """The image that was just pushed, which a replica of the registry may show only later."""
        registry = within_attempt(self.context.registry)
        pinned = self.target.with_digest(digest)

        def read() -> ArchImage | None:
            return arch_image(registry, pinned, self.job.arch)

        image = read_back.until(bool, read, registry.deadline)
        if image is None:
            raise RegistryError(
                f"{self.target.familiar} was pushed, but the registry does not have it",
                hint="is a clean-up running?",
            )
        return replace(image, reference=self.target)

    def _build(self, engine: Engine, builder: Builder, *, no_cache: bool) -> None:
        if self.built and builder.has_image(self.target, self.built[-1]):
            return
        with ExitStack() as stack:
            context, is_from_scratch = self._build_context(engine, stack)
            begun = time.monotonic()
            self.bases.clear()
            spec = BuildSpec.of(self.job, proxies=proxy_args(environment(PROXIES)))
            spec = replace(spec, no_cache=spec.no_cache or no_cache)
            image = builder.build(spec, context, self._control(self._time_limit()))
            self.built.append(image)
            self.scratch.update([image] if is_from_scratch else [])
            self._record_duration(time.monotonic() - begun)

    def _build_context(self, engine: Engine, stack: ExitStack) -> tuple[IO[bytes], bool]:
        """Return the verified context with the images that the job depends on; the job is now `building`.

        Return also whether its image has no layers of a base image.
        """
        job, context = self.job, self.context
        tar = stack.enter_context(
            wait_for_redis(
                lambda: get_context(context.store, job.context, size=job.context_size), stop=self.held.stopped
            )
        )
        verify_context(tar, job)
        dockerfile = refuse_inputs(tar, job, context.policy)
        self.move(JobState.BUILDING, JobPatch())
        with_images = with_depends_images(
            tar, job.depends, job.arch, engine=engine, registry=context.sources, log=self.log.write
        )
        return stack.enter_context(with_images), is_from_scratch(dockerfile, job)

    def _control(self, timeout: float) -> Control:
        return Control(self.log.write, timeout, self.held.stopped.is_set, lambda *base: self.bases.add(base))

    def _time_limit(self) -> float:
        settings = self.context.settings
        past = earlier_builds.durations(self.context.store, self.job)
        limit = earlier_builds.time_limit(settings.build_timeout, past, settings.build_patience)
        if limit < settings.build_timeout:
            self.log.write(f"time limit: {limit:.0f} s, as its longest recent build took {max(past):.0f} s")
        return limit

    def _record_duration(self, seconds: float) -> None:
        try:
            earlier_builds.record_duration(self.context.store, self.job, seconds)
        except FarmError as error:
            # Only later time limits and estimates depend on it.
            _log.warning("%s: its duration is not recorded: %s", self.job.title, error)

    def _client_for(self, info: EngineInfo) -> Registry | None:
        """The client with which to push the image, rather than the engine; None where that is no gain.

        The engine knows which layers of base images the registry has. With containerd it has the compressed
        layers, too, and equal builds equal bytes, as they must have where several workers build.
        """
        is_scratch = self.built[-1] in self.scratch
        if not is_scratch or info.containerd or self.context.policy.attestations > 1:
            return None
        return within_attempt(self.context.registry)

    def _push(self, builder: Builder, info: EngineInfo) -> str:
        self.move(JobState.PUSHING, JobPatch())
        settings = self.context.settings
        control = self._control(settings.build_timeout)
        digest = builder.push(
            self.target, control, silence=settings.push_silence, registry=self._client_for(info)
        )
        if not builder.has_image(self.target, self.built[-1]):
            # A new holder may have built under the same name in this engine, and its image been pushed.
            # Otherwise do not ask: while Redis is away, a worker that dies would leave an image unattested.
            wait_for_redis(self.held.check, stop=self.held.stopped)
        builder.remove_image(self.target, self.job.arch)
        return digest
