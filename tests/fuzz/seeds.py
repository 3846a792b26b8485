"""What the parsers read in honest use: where fuzzing begins."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from typing import Any

from farm.buildkit.protobuf import encode
from farm.model import digest_of
from farm.package.tarball import Entry, TarWriter
from farm.package.tree_paths import DIRECTORY, FILE, SYMLINK
from farm.registry.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from tests.support.attestations import Worker
from tests.support.ssh_keys import ssh_public_key

WORKER = Worker()


def json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def described(media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(media_type.encode()), "size": 7, **more}


_PLATFORM = {"architecture": "arm64", "os": "linux", "variant": "v8"}
_ATTESTED = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": digest_of(OCI_MANIFEST.encode()),
}
INDEX = json_bytes(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            described(OCI_MANIFEST, platform=_PLATFORM),
            described(
                OCI_MANIFEST, platform={"architecture": "unknown", "os": "unknown"}, annotations=_ATTESTED
            ),
        ],
        "annotations": {"a": "b"},
    }
)
MANIFEST = json_bytes(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(OCI_CONFIG),
        "layers": [described(OCI_LAYER), described(OCI_LAYER, urls=["https://a.org/"])],
    }
)
CONFIG = json_bytes({**_PLATFORM, "rootfs": {"type": "layers", "diff_ids": [digest_of(b"x")]}})


_VERTEX = encode(
    (1, "sha256:a"), (3, "RUN x"), (5, encode((1, 5), (2, 6))), (6, encode((1, 7))), (7, "failed")
)
TRACE = encode(
    (1, _VERTEX),
    (2, encode((1, "layer"), (2, "sha256:a"), (4, 9), (8, encode((1, 8))))),
    (3, encode((1, "sha256:a"), (2, encode((1, 6))), (3, 2), (4, b"line\nrest"))),
    (4, encode((1, "sha256:a"), (3, "warned"))),
)
STATUS = json_bytes(
    {
        "vertexes": [
            {"digest": "sha256:a", "name": "RUN x", "started": "2026-01-01T00:00:00.1Z", "error": "e"}
        ],
        "statuses": [{"id": "l", "vertex": "sha256:a", "current": 5, "completed": "2026-01-01T00:00:00Z"}],
        "logs": [{"vertex": "sha256:a", "stream": 1, "data": "YQo=", "timestamp": "2026-01-01T00:00:00Z"}],
        "warnings": [{"vertex": "sha256:a", "short": "dw=="}],
    }
)


def context_seed() -> bytes:
    file = io.BytesIO()
    writer = TarWriter(file, 5)
    writer.add(Entry(b"a", DIRECTORY))
    writer.add(Entry(b"a/b", FILE, size=3), [b"abc"])
    writer.add(Entry(b"a/c", SYMLINK, target=b"b"))
    writer.add(Entry(b"z" * 120, FILE, size=0))
    writer.close()
    return file.getvalue()


def archive_of(**files: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size, entry.pax_headers = len(content), {"comment": "x" * 9}
            tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


TUF = json_bytes(
    {
        "signed": {
            "roles": {"targets": {"keyids": ["k"]}},
            "keys": {
                "k": {"keyval": {"public": base64.b64encode(b"-----BEGIN CERTIFICATE-----\nYQ==\n").decode()}}
            },
            "delegations": {
                "roles": [{"name": "targets/releases", "keyids": ["k"]}],
                "keys": {"k": {"keyval": {"public": "YQ=="}}},
            },
        }
    }
)
LISTED = b"""NAME    DIGEST     SIZE (BYTES)    ROLE
----    ------    ------------    ----
1.0     %s    528    targets/releases
""" % (b"a" * 64)


def ssh_signature() -> str:
    """A signature in SSH's form, by nobody."""

    def text(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4) + part for part in parts)

    key = base64.b64decode(ssh_public_key(1).split()[1])
    made = text(b"ssh-ed25519", bytes(64))
    blob = b"SSHSIG\0\0\0\1" + text(key, b"order@linuxkit-farm", b"", b"sha512", made)
    lines = base64.encodebytes(blob).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}-----END SSH SIGNATURE-----\n"


POLICY = f"""\
maintainers:
  - {{name: alice@example.org, key: {ssh_public_key(1)}, may: ["docker.io/linuxkit/*"], release: true}}
  - {{name: bob, key: {ssh_public_key(2)}, may: ["**"], until: 2026-01-01T00:00:00Z}}
workers:
  - {{name: arm64@rack3, key: {WORKER.key.public}, arches: [arm64]}}
signatures: [cosign, notary]
attestations: 2
build-arguments: [GOPROXY, "*_proxy"]
frontends: [docker.io/docker/dockerfile]
""".encode()
