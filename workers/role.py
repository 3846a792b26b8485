"""The role of a worker: what it builds and publishes, checked before it accepts the first job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.builders.buildx_environment import DEFAULT_BUILDER, builder_for
from farm.builders.choice import check_builders, describe_builder
from farm.builders.docker_engine import Engine
from farm.errors import InputError
from farm.model import refuse_unknown_arches
from farm.scheduling.celery_app import PUBLISH_QUEUE, build_queue
from farm.state.workers import WorkerInfo
from farm.system.identity import host_name
from farm.trust.choice import make_signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings


@dataclass(frozen=True, slots=True)
class Role:
    """The architectures that a worker builds, and whether it publishes."""

    arches: tuple[str, ...]
    publisher: bool
    engine: str = ""
    """Version of its Docker Engine; "" for a publisher that builds nothing."""
    emulated: tuple[str, ...] = ()
    engine_root: str = ""
    """The engine's data directory, on the engine's machine."""
    builder: str = ""
    """The builder, and why it was chosen, such as `buildx 0.13.1 (for sbom)`."""

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the worker consumes."""
        publish = (PUBLISH_QUEUE,) if self.publisher else ()
        return (*(build_queue(arch) for arch in self.arches), *publish)

    def info(self, name: str, slots: int) -> WorkerInfo:
        """The description that the worker's heartbeats carry."""
        return WorkerInfo(
            name,
            self.arches,
            self.publisher,
            slots,
            self.engine,
            self.emulated,
            builder=self.builder,
            host=host_name(),
        )


def find_role(settings: Settings, arches: Sequence[str], *, publisher: bool) -> Role:
    """The role of a worker for these architectures; none means that of the engine.

    It is an error if the engine, a builder or the signing key cannot be used for them.
    """
    if publisher and settings.sign:
        make_signer(settings).ready([])
    if publisher and not arches:
        return Role((), publisher=True)
    certs, timeout = settings.engine_certs, settings.http_timeout
    with Engine.connect(settings.engine, certs=certs, timeout=timeout) as engine:
        info, emulated = engine.info(), engine.emulated()
    wanted = tuple(arches) or (info.architecture,)
    builder = describe_builder(settings)
    here = tuple(arch for arch in wanted if builder_for(settings, arch) == DEFAULT_BUILDER)
    foreign = tuple(arch for arch in here if arch != info.architecture)
    check_arches(wanted, foreign, emulated, settings=settings, own=info.architecture)
    check_builders(settings, info, wanted)
    return Role(wanted, publisher, info.version, foreign, info.root, builder)


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


def default_name(role: Role) -> str:
    """The worker's role and machine, such as amd64@host or publish@host."""
    return f"{'-'.join((*role.arches, *(['publish'] if role.publisher else [])))}@{host_name()}"
