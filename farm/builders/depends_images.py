"""`depends.docker-images`: images pulled for the architecture of a job, saved into its build context."""

from __future__ import annotations

import tarfile
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from farm.builders.docker_archive import merge
from farm.builders.docker_engine import translate_engine_errors
from farm.builders.engine_push import push_failure
from farm.errors import RegistryError
from farm.model import Reference
from farm.registry.index import Index, members_of
from farm.registry.oci import INDEXES
from farm.system.files import spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.builders.docker_engine import Engine
    from farm.model import DockerImages
    from farm.registry.client import Registry
    from farm.registry.credentials import Login

_PIECE = 1 << 20


@contextmanager
def completed(
    context: IO[bytes],
    depends: DockerImages | None,
    arch: str,
    *,
    engine: Engine,
    registry: Registry,
    log: Callable[[str], None],
) -> Iterator[IO[bytes]]:
    """The context with the images that it depends on; the context itself where it depends on none.

    `target-dir` is emptied first, and then holds NAME@DIGEST.tar for each image; `target` is one archive of
    all. What the package itself brought there gives way.

    Args:
        context: a plain tar, seekable.
        depends: what build.yml says.
        arch: for which the images are.
        engine: pulls and saves them.
        registry: tells which image of an index is the architecture's.
        log: takes a line for each image.

    Raises:
        RegistryError: an image is not there, not for this architecture, or cannot be pulled.
        EngineUnavailableError: the engine went away.
        TemporaryFullError: the directory for temporary files is full.
    """
    context.seek(0)
    if depends is None or not depends.images:
        yield context
        return
    with ExitStack() as stack:
        archives = []
        for text in depends.images:
            reference = Reference.parse(text)
            log(f"depends on {reference.familiar}")
            archive = stack.enter_context(_saved(engine, registry, reference, arch))
            archives.append((reference, archive))
        full = stack.enter_context(spool())
        with tarfile.open(fileobj=full, mode="w", format=tarfile.GNU_FORMAT) as tar:
            _copy_but(context, depends.target_dir or str(depends.target), tar)
            _add_archives(archives, depends, tar)
        full.seek(0)
        yield full


def file_name(reference: Reference) -> str:
    """What an image is called in target-dir: NAME@DIGEST.tar, NAME being the last part of its name."""
    return f"{reference.repository.rpartition('/')[2]}@{reference.digest}.tar"


def _names(reference: Reference) -> list[str]:
    return [reference.with_tag(reference.tag).familiar] if reference.tag else []


def _add_archives(
    archives: list[tuple[Reference, IO[bytes]]], depends: DockerImages, tar: tarfile.TarFile
) -> None:
    if not depends.target_dir:
        _add(str(depends.target), [(archive, _names(reference)) for reference, archive in archives], tar)
        return
    folder = tarfile.TarInfo(depends.target_dir)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(folder)
    for reference, archive in archives:
        _add(f"{depends.target_dir}/{file_name(reference)}", [(archive, _names(reference))], tar)


def _add(name: str, saved: list[tuple[IO[bytes], list[str]]], tar: tarfile.TarFile) -> None:
    with spool() as merged:
        merge(saved, merged)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = merged.tell(), 0o644
        merged.seek(0)
        tar.addfile(entry, merged)


def _copy_but(context: IO[bytes], place: str, into: tarfile.TarFile) -> None:
    """Copy a context without what lies at or below a place."""
    with tarfile.open(fileobj=context, mode="r:") as tar:
        for entry in tar:
            if entry.name != place and not entry.name.startswith(f"{place}/"):
                into.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)


@contextmanager
def _saved(engine: Engine, registry: Registry, reference: Reference, arch: str) -> Iterator[IO[bytes]]:
    """An image as the engine saves it, pulled by the digest of this very architecture's manifest.

    By that digest and not by the index's, because an engine before 29 knows an index as the one image of it
    that was pulled last, for whatever architecture.
    """
    pinned = reference.with_digest(_digest_for(registry, reference, arch))
    _pull(engine, pinned, arch, registry.credentials.login_for(reference.registry))
    with spool() as archive:
        with translate_engine_errors(engine.url):
            for piece in engine.api.get_image(str(pinned), chunk_size=_PIECE):
                archive.write(piece)
        archive.seek(0)
        yield archive


def _digest_for(registry: Registry, reference: Reference, arch: str) -> str:
    manifest = registry.manifest(reference)
    if manifest is None:
        raise RegistryError(f"{reference.familiar}, which the package depends on, is not in its registry")
    if manifest.descriptor.media_type not in INDEXES:
        return manifest.descriptor.digest
    members = members_of(Index.parse(manifest.body), arch)
    if not members:
        raise RegistryError(f"{reference.familiar}, which the package depends on, has no image for {arch}")
    return members[0].digest


def _pull(engine: Engine, reference: Reference, arch: str, login: Login | None) -> None:
    account = login.docker if login else {}
    with translate_engine_errors(engine.url):
        messages = engine.api.pull(
            reference.name,
            tag=reference.digest,
            platform=f"linux/{arch}",
            auth_config=account,
            stream=True,
            decode=True,
        )
        said = [message["error"] for message in messages if "error" in message]
    if said:
        raise push_failure(reference, str(said[0]), act="pull")
