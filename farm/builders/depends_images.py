"""`depends.docker-images` of build.yml: pull images of an architecture, and add them to the build context."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

from farm.builders.docker_engine import translate_engine_errors
from farm.builders.engine_images import save_image
from farm.builders.failures import push_failure
from farm.errors import EngineError, RegistryError
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

    Archives = list[tuple[Reference, IO[bytes]]]

_MANIFEST = "manifest.json"
_LISTS = (_MANIFEST, "repositories", "index.json", "oci-layout")
"""The files that list the images of an archive; a merged archive gets one new list, at the end."""


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
    package has at that path. The context is a plain tar, seekable. The engine pulls and saves the images; the
    registry resolves an index to the architecture's image.

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
        archives: Archives = []
        for reference in map(Reference.parse, depends.images):
            log(f"depends on {reference.familiar}")
            archives.append((reference, stack.enter_context(_saved(engine, registry, reference, arch))))
        full = stack.enter_context(spool())
        with tarfile.open(fileobj=full, mode="w", format=tarfile.GNU_FORMAT) as tar:
            _copy_without(context, depends.target_dir or str(depends.target), tar)
            _add_archives(archives, depends, tar)
        full.seek(0)
        yield full


def _copy_without(context: IO[bytes], path: str, into: tarfile.TarFile) -> None:
    """Copy a context without a path and what is below it."""
    with tarfile.open(fileobj=context, mode="r:") as tar:
        for entry in tar:
            if entry.name != path and not entry.name.startswith(f"{path}/"):
                into.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)


def _add_archives(archives: Archives, depends: DockerImages, tar: tarfile.TarFile) -> None:
    if not depends.target_dir:
        _add_merged(str(depends.target), archives, tar)
        return
    folder = tarfile.TarInfo(depends.target_dir)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(folder)
    for reference, archive in archives:
        name = f"{reference.repository.rpartition('/')[2]}@{reference.digest}.tar"
        _add_merged(f"{depends.target_dir}/{name}", [(reference, archive)], tar)


def _add_merged(name: str, archives: Archives, tar: tarfile.TarFile) -> None:
    """Add one archive with the images of several; files that they share are written once."""
    listed: list[dict[str, Any]] = []
    copied: set[str] = set()
    with spool() as merged:
        with tarfile.open(fileobj=merged, mode="w") as into:
            for reference, archive in archives:
                names = [reference.with_tag(reference.tag).familiar] if reference.tag else None
                listed += [{**image, "RepoTags": names} for image in _copy(archive, into, copied)]
            body = json.dumps(listed).encode()
            _add_file(_MANIFEST, len(body), io.BytesIO(body), into)
        size = merged.tell()
        merged.seek(0)
        _add_file(name, size, merged, tar)


def _add_file(name: str, size: int, content: IO[bytes], tar: tarfile.TarFile) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)


def _copy(archive: IO[bytes], merged: tarfile.TarFile, copied: set[str]) -> list[dict[str, Any]]:
    """Copy the files that are not in the merged archive yet; return the archive's list of images."""
    listed: list[dict[str, Any]] | None = None
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isreg() else None
                if entry.name == _MANIFEST and content:
                    listed = json.load(content)
                elif entry.name not in _LISTS and entry.name not in copied:
                    copied.add(entry.name)
                    merged.addfile(entry, content)
    except (tarfile.TarError, ValueError) as error:
        raise EngineError(f"the engine saved an image as an invalid archive: {error}") from error
    if not listed:
        raise EngineError(f"the engine saved an image without a {_MANIFEST}")
    return listed


@contextmanager
def _saved(engine: Engine, registry: Registry, reference: Reference, arch: str) -> Iterator[IO[bytes]]:
    """The archive of an image, pulled by the digest of this architecture's manifest.

    Not by the index's digest: an engine before 29 knows an index as the one image that was pulled from it
    last, of any architecture.
    """
    pinned = reference.with_digest(_digest_for(registry, reference, arch))
    _pull(engine, pinned, arch, registry.credentials.login_for(reference.registry))
    with spool() as archive:
        with save_image(engine, str(pinned)) as saved:
            shutil.copyfileobj(saved, archive)
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
    with translate_engine_errors(engine.url):
        messages = engine.api.pull(
            reference.name,
            tag=reference.digest,
            platform=f"linux/{arch}",
            auth_config=login.docker if login else {},
            stream=True,
            decode=True,
        )
        errors = [message["error"] for message in messages if "error" in message]
    if errors:
        raise push_failure(reference, str(errors[0]), action="pull")
