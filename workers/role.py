"""The role of a worker: what it builds and publishes, checked before it accepts the first job."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm import __version__
from farm.attestation.worker_key import load_worker_key
from farm.builders.buildx_plugin import DEFAULT_BUILDER, builder_for
from farm.builders.choice import check_builders, describe_builder
from farm.builders.docker_engine import Engine
from farm.errors import InputError, PolicyError
from farm.model import refuse_unknown_arches
from farm.scheduling.celery_app import PUBLISH_QUEUE, build_queue
from farm.state.workers import WorkerInfo
from farm.system.identity import host_name
from farm.trust.places import current_policy, worker_key_path
from farm.trust.signer import make_signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings
    from farm.trust.policy import Policy


@dataclass(frozen=True, slots=True)
class Role:
    """A worker as its heartbeats describe it, and where its engine keeps its data."""

    worker: WorkerInfo
    engine_root: str = ""
    """The engine's data directory, on the engine's machine; "" for a publisher that builds nothing."""

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the worker consumes."""
        publish = (PUBLISH_QUEUE,) if self.worker.publisher else ()
        return (*(build_queue(arch) for arch in self.worker.arches), *publish)


def find_role(settings: Settings, arches: Sequence[str], *, publisher: bool, name: str = "") -> Role:
    """The role of a worker for these architectures; none means that of the engine.

    It is an error if the engine, a builder or the signing key cannot be used for them.
    """
    policy = current_policy(settings)
    if publisher and settings.sign:
        make_signer(settings).ready([])
    slots, host = settings.concurrency, host_name()
    worker = WorkerInfo(name, tuple(arches), publisher, slots, engine="", host=host, release=__version__)
    if publisher and not arches:
        return Role(replace(worker, name=name or default_name(worker)))
    certs, timeout = settings.engine_certs, settings.http_timeout
    with Engine.connect(settings.engine, certs=certs, timeout=timeout) as engine:
        info, emulated = engine.info(), engine.emulated()
    wanted = tuple(arches) or (info.architecture,)
    builder = describe_builder(settings)
    here = tuple(arch for arch in wanted if builder_for(settings, arch) == DEFAULT_BUILDER)
    foreign = tuple(arch for arch in here if arch != info.architecture)
    check_arches(wanted, foreign, emulated, settings=settings, own=info.architecture)
    check_builders(settings, lambda: info, wanted)
    key = check_key(settings, policy, wanted)
    worker = replace(worker, arches=wanted, engine=info.version, emulated=foreign, builder=builder, key=key)
    return Role(replace(worker, name=name or default_name(worker)), info.root)


def check_key(settings: Settings, policy: Policy, arches: Sequence[str]) -> str:
    """The fingerprint of a worker's key; refuses one whose images the policy accepts from nobody."""
    path = worker_key_path(settings)
    key = load_worker_key(path)
    public = key.public
    known = policy.worker_of(public)
    if lacking := [arch for arch in arches if known is None or arch not in known.arches]:
        words = shlex.join([word for arch in arches for word in ("--arch", arch)])
        raise PolicyError(
            f"{path}: the policy does not name this worker's key for {', '.join(lacking)}",
            hint=f"farm policy add worker NAME {words} --key {public}",
        )
    return key.fingerprint


def check_arches(
    wanted: Sequence[str], foreign: Sequence[str], emulated: Sequence[str], *, settings: Settings, own: str
) -> None:
    """Refuse architectures that are foreign to this engine, unless emulation is enabled and works."""
    refuse_unknown_arches(wanted)
    for arch in foreign:
        if not settings.emulate:
            raise InputError(
                f"this engine builds {own} and could only emulate {arch}",
                hint="run the worker on a machine of that architecture, or add --emulate",
            )
        if arch not in emulated:
            raise InputError(
                f"this engine cannot emulate {arch}",
                hint="install qemu-user-static and binfmt-support on its machine",
            )


def default_name(worker: WorkerInfo) -> str:
    """The worker's role and machine, such as amd64@host or publish@host."""
    return f"{'-'.join((*worker.arches, *(['publish'] if worker.publisher else [])))}@{worker.host}"
