"""`depends.docker-images` of build.yml: pull images of an architecture, and add them to the build context."""

from __future__ import annotations

import tarfile
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from farm.builders.docker_archive import merge_archives
from farm.builders.docker_engine import translate_engine_errors
from farm.builders.push_failures import push_failure
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

_CHUNK = 1 << 20


@contextmanager
def with_depends_images(
    context: IO[bytes],
    depends: DockerImages | None,
    arch: str,
    *,
    engine: Engine,
    registry: Registry,
    log: Callable[[str], None],
) -> Iterator[IO[bytes]]:
    """The context with the images that the package depends on; the context itself if there are none.

    `target-dir` gets NAME@DIGEST.tar for each image; `target` is one archive of all. They replace what the
    package has at that path.

    Args:
        context: a plain tar, seekable.
        depends: the images, from build.yml.
        arch: the architecture of the images.
        engine: pulls and saves them.
        registry: resolves an index to the architecture's image.
        log: receives a line for each image.

    Raises:
        RegistryError: an image does not exist, has no such architecture, or cannot be pulled.
        EngineUnavailableError: the engine cannot be reached.
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
            _copy_without(context, depends.target_dir or str(depends.target), tar)
            _add_archives(archives, depends, tar)
        full.seek(0)
        yield full


def file_name(reference: Reference) -> str:
    """The name of an image's file in target-dir: NAME@DIGEST.tar, with the last part of its repository."""
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


def _add(name: str, archives: list[tuple[IO[bytes], list[str]]], tar: tarfile.TarFile) -> None:
    with spool() as merged:
        merge_archives(archives, merged)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = merged.tell(), 0o644
        merged.seek(0)
        tar.addfile(entry, merged)


def _copy_without(context: IO[bytes], path: str, into: tarfile.TarFile) -> None:
    """Copy a context without a path and what is below it."""
    with tarfile.open(fileobj=context, mode="r:") as tar:
        for entry in tar:
            if entry.name != path and not entry.name.startswith(f"{path}/"):
                into.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)


@contextmanager
def _saved(engine: Engine, registry: Registry, reference: Reference, arch: str) -> Iterator[IO[bytes]]:
    """The archive of an image, pulled by the digest of this architecture's manifest.

    Not by the index's digest: an engine before 29 knows an index as the one image that was pulled from it
    last, of any architecture.
    """
    pinned = reference.with_digest(_digest_for(registry, reference, arch))
    _pull(engine, pinned, arch, registry.credentials.login_for(reference.registry))
    with spool() as archive:
        with translate_engine_errors(engine.url):
            for chunk in engine.api.get_image(str(pinned), chunk_size=_CHUNK):
                archive.write(chunk)
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
        errors = [message["error"] for message in messages if "error" in message]
    if errors:
        raise push_failure(reference, str(errors[0]), action="pull")
