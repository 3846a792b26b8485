"""Artifacts that belong to an image, such as its attestations: attached to it, and found by its digest.

https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage
"""

from __future__ import annotations

import base64
import json
from itertools import islice
from typing import TYPE_CHECKING

from farm.errors import RegistryDamagedError, RegistryError
from farm.model import DIGEST, Descriptor, digest_of
from farm.registry.blobs import push_blob
from farm.registry.client import manifest_request
from farm.registry.oci import OCI_MANIFEST, read_descriptor, reading
from farm.registry.referrer_lists import MOST_FOUND, Attached, add_entry, entries_of, is_nonsense
from farm.registry.transport import PUSH, retried
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.model import Reference
    from farm.registry.client import Registry

_LARGEST = 256 << 10
"""Bytes of an artifact that is read, and of its manifest."""
_LARGEST_DATA = 64 << 10
"""Bytes up to which an artifact is in its manifest, too, which saves its readers a request."""
# https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidance-for-an-empty-descriptor
_NOTHING = b"{}"
_EMPTY = Descriptor("application/vnd.oci.empty.v1+json", digest_of(_NOTHING), len(_NOTHING))


def attach(
    registry: Registry,
    repository: Reference,
    subject: Descriptor,
    artifact_type: str,
    blob: bytes,
    annotations: Mapping[str, str],
) -> Descriptor:
    """Attach an artifact to an image of a repository; the same one again changes nothing.

    Raises:
        RegistryUnavailableError: others kept overwriting the list of what is attached.
        RegistryError: the registry refuses the artifact.
    """
    body = _artifact(subject, artifact_type, blob, annotations)
    made = Descriptor(
        OCI_MANIFEST, digest_of(body), len(body), annotations=tuple(sorted(annotations.items()))
    )
    # An attestation names its time, so no repository has it before.
    at_once(lambda one: _push(registry, repository, one, is_new=one is blob), [_NOTHING, blob])
    store = manifest_request("PUT", repository.with_digest(made.digest), PUSH)._replace(
        headers={"Content-Type": OCI_MANIFEST}, content=body, missing=()
    )
    stored = retried(lambda: registry.once(store), registry.deadline)
    # https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests-with-subject
    if stored.headers.get("OCI-Subject") != subject.digest:
        add_entry(Attached(registry, repository, subject.digest, artifact_type), made)
    return made


def find(
    registry: Registry, repository: Reference, digest: str, artifact_type: str, *, limit: int = MOST_FOUND
) -> tuple[bytes, ...]:
    """The artifacts of a type that are attached to an image, as `find_each` reads them."""
    lists = find_each(registry, repository, digest, artifact_type, limit=limit)
    return next(filter(None, lists), ())


def find_each(
    registry: Registry, repository: Reference, digest: str, artifact_type: str, *, limit: int = MOST_FOUND
) -> Iterator[tuple[bytes, ...]]:
    """The artifacts of a type that are attached to an image, by each list that there may be.

    False answers of the registry are left out. At most `limit` of a list are read, those listed first: who
    may push can hide what is attached, and nothing else. A caller goes on to the next list if the first has
    not what it needs.

    Raises:
        RegistryUnavailableError: the registry does not answer, so there may be some.
        RegistryDamagedError: all lists were read, but some artifacts did not match their digests.
    """
    attached = Attached(registry, repository, digest, artifact_type)
    damaged: list[RegistryDamagedError] = []
    for entries in entries_of(attached):
        blobs = [_read(attached, entry, damaged) for entry in islice(entries, limit)]
        yield tuple(filter(None, blobs))
    if damaged:
        raise damaged[0]


def _artifact(subject: Descriptor, artifact_type: str, blob: bytes, annotations: Mapping[str, str]) -> bytes:
    """The manifest of an artifact; the same artifact gives the same bytes."""
    layer = Descriptor(artifact_type, digest_of(blob), len(blob)).to_json()
    if len(blob) <= _LARGEST_DATA:
        layer["data"] = base64.b64encode(blob).decode()
    data = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": _EMPTY.to_json(),
        "layers": [layer],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
        "annotations": dict(sorted(annotations.items())),
    }
    return json.dumps(data, separators=(",", ":")).encode()


def _push(registry: Registry, repository: Reference, content: bytes, *, is_new: bool) -> None:
    about = Descriptor("application/octet-stream", digest_of(content), len(content))
    push_blob(registry, repository, about, lambda: iter([content]), is_new=is_new)


def _read(attached: Attached, entry: Descriptor, damaged: list[RegistryDamagedError]) -> bytes | None:
    """The artifact that an entry lists; None if there is none, or none of this image."""
    if not _may_be_read(entry):
        return None
    try:
        manifest = attached.registry.manifest(attached.repository.with_digest(entry.digest))
        return _content(attached, manifest.body) if manifest else None
    except RegistryDamagedError as error:
        damaged.append(error)
    except (RegistryError, RecursionError) as error:
        if not is_nonsense(error):
            raise
    return None


def _content(attached: Attached, manifest: bytes) -> bytes | None:
    with reading("artifact"):
        data = json.loads(manifest)
        (layer,) = data["layers"]
        blob, inline = read_descriptor(layer), base64.b64decode(layer.get("data") or "", validate=True)
        belongs = (data["subject"]["digest"], data["artifactType"]) == (
            attached.digest,
            attached.artifact_type,
        )
    if not belongs or not _may_be_read(blob):
        return None
    is_inline = digest_of(inline) == blob.digest
    content = inline if is_inline else attached.registry.blob(attached.repository, blob.digest)
    return content if len(content) == blob.size else None


def _may_be_read(found: Descriptor) -> bool:
    return bool(DIGEST.fullmatch(found.digest)) and found.size <= _LARGEST
