"""What a worker is to do, and whether this machine can: decided before it takes the first task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.builders.buildx_builder import DEFAULT, builder_for
from farm.builders.choice import check_builders, describe_builder
from farm.builders.docker_engine import Engine
from farm.errors import InputError
from farm.model import ARCHES
from farm.scheduling.celery_app import PUBLISH_QUEUE, build_queue
from farm.state.workers import WorkerInfo
from farm.system.identity import host_name
from farm.system.processes import TIE_PROGRAM, require
from farm.trust.notary.configure import signing_key
from farm.trust.notary.keys import check_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings


@dataclass(frozen=True, slots=True)
class Role:
    """The architectures that a worker builds, and whether it publishes."""

    arches: tuple[str, ...]
    publisher: bool
    engine: str = ""
    """Version of the Docker Engine that it drives, "" where it needs none."""
    emulated: tuple[str, ...] = ()
    engine_root: str = ""
    """The directory of the engine's data, on its own machine."""
    builder: str = ""
    """What builds, in a word or two, and why."""

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the worker consumes, and no others."""
        publish = (PUBLISH_QUEUE,) if self.publisher else ()
        return (*(build_queue(arch) for arch in self.arches), *publish)

    def info(self, name: str, slots: int) -> WorkerInfo:
        """How the worker describes itself to the farm."""
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
    """The role of a worker that was asked for these architectures (none: the engine's own).

    Raises:
        InputError: one of them cannot be built, or only by emulation, which was not allowed; or what the
            builder needs is not there.
        EngineUnavailableError: no Docker Engine answers, or a builder that is named does not.
        TrustDeniedError: the publisher's signing key cannot be opened.
    """
    if publisher and settings.sign:
        check_signing(settings)
    if publisher and not arches:
        return Role((), publisher=True)
    certs, timeout = settings.engine_certs, settings.http_timeout
    with Engine.connect(settings.engine, certs=certs, timeout=timeout) as engine:
        info, emulated = engine.info(), engine.emulated()
    wanted = tuple(arches) or (info.architecture,)
    builder = describe_builder(settings)
    here = tuple(arch for arch in wanted if builder_for(settings, arch) == DEFAULT)
    foreign = tuple(arch for arch in here if arch != info.architecture)
    check_arches(wanted, foreign, emulated, settings=settings, own=info.architecture)
    check_builders(settings, info, wanted)
    return Role(wanted, publisher, info.version, foreign, info.root, builder)


def check_arches(
    wanted: Sequence[str], foreign: Sequence[str], emulated: Sequence[str], *, settings: Settings, own: str
) -> None:
    """Refuse what this engine does not build natively, unless emulation was asked for and works."""
    for arch in wanted:
        if arch not in ARCHES:
            raise InputError(f"{arch!r} is no architecture", hint=f"one of {', '.join(ARCHES)}")
    for arch in foreign:
        if not settings.emulate:
            raise InputError(
                f"this engine builds {own}; {arch} it could only emulate",
                hint="run the worker on a machine of that architecture, or add --emulate",
            )
        if arch not in emulated:
            raise InputError(
                f"this engine cannot emulate {arch}",
                hint="install qemu-user-static and binfmt-support on its machine",
            )


def check_signing(settings: Settings) -> None:
    """Make sure that what the publisher signs with is there and opens."""
    require("notary", "openssl", *TIE_PROGRAM)
    check_key(signing_key(settings), timeout=settings.trust_timeout)


def default_name(role: Role) -> str:
    """A name that says what the worker is and where: amd64@host, publish@host."""
    return f"{'-'.join((*role.arches, *(['publish'] if role.publisher else [])))}@{host_name()}"
