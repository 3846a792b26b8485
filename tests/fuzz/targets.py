"""The parsers that read what others wrote, each with inputs to begin with."""

from __future__ import annotations

import atexit
import base64
import io
import shutil
import tempfile
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.attestation.envelope import open_envelope
from farm.attestation.statement import from_statement, to_statement
from farm.attestation.worker_key import read_public_key as read_worker_key
from farm.builders.buildx_process import OutputParser, read_status
from farm.builders.message_stream import BuildLog
from farm.buildkit.connection import json_object
from farm.buildkit.grpc import Server
from farm.buildkit.platforms import parse_architectures
from farm.buildkit.protobuf import encode
from farm.buildkit.session import Session
from farm.buildkit.status_messages import read_trace
from farm.cache.archive_import import load
from farm.cache.blobs import Blobs
from farm.cache.bounded_tar import UNREADABLE, entries, open_tar
from farm.errors import FarmError
from farm.model import Descriptor, Job, PackageWork, Reference, Run, digest_of
from farm.model.order import Order, make_order, read_part
from farm.model.run import canonical
from farm.package.build_yml import read_build_yml
from farm.package.dockerfile import images_of, sources_of
from farm.package.tarball import TarReader
from farm.package.tree_hash import context_hash
from farm.package.verify_context import check_entries
from farm.registry.challenge import Challenge, check_realm, read_token, token_request
from farm.registry.client import Manifest
from farm.registry.credentials import Credentials, read_config, read_logins
from farm.registry.http_exchange import HttpRequest, Peer, Response
from farm.registry.http_failures import check_status, reached, requested_pause
from farm.registry.index import Index, assemble, children, members_of, platforms
from farm.registry.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    ImageManifest,
    manifest_type,
    read_platform,
)
from farm.registry.transport import _following
from farm.settings import Secret
from farm.state.contexts import _decompressed
from farm.trust.cosign.attachments import SIGNATURE, SIGNATURES, read_attachments
from farm.trust.cosign.payload import payload_of, says
from farm.trust.notary.failures import error_of, incomplete_roles
from farm.trust.notary.verify import parse_keys, parse_list
from farm.trust.policy_text import policy_of
from farm.trust.signer import SignTarget
from farm.trust.ssh_keys import read_public_key
from farm.trust.ssh_signatures import _stated
from tests.fuzz.seeds import (
    CONFIG,
    INDEX,
    LISTED,
    MANIFEST,
    POLICY,
    STATUS,
    TRACE,
    TUF,
    WORKER,
    archive_of,
    context_seed,
    described,
    json_bytes,
    ssh_signature,
)
from tests.support.attestations import PROVENANCE
from tests.support.ssh_keys import ssh_public_key

if TYPE_CHECKING:
    from collections.abc import Callable


class Target(NamedTuple):
    """A parser as a function of bytes, which may raise errors of the farm and those that it documents."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...] = ()
    """Beside FarmError: what the caller of this function handles."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """All errors that are an answer."""
        return (FarmError, *self.errors)


def _manifest(data: bytes) -> None:
    media_type = manifest_type(OCI_MANIFEST, data)
    for one in children(media_type, data):
        hash(one)
    assert ImageManifest.parse(data).layers is not None


def _index(data: bytes) -> None:
    index = Index.parse(data)
    for arch in platforms(index):
        members_of(index, arch)
    assemble([], index).body()


def _challenge(data: bytes) -> None:
    challenge = Challenge.parse(data.decode("latin1"))
    with reached(Peer("a.org")):
        check_realm("a.org", challenge.realm, (), plain=False, login=True)
        token_request(challenge, "repository:a:pull", None)


class _Raw:
    length_remaining = 0

    def stream(self, *_: object, **__: object) -> list[bytes]:
        return []


def _response(data: bytes, status: int = 200) -> Response:
    raw: Any = _Raw()
    return Response(
        "https://a.org/v2/", status, {"Retry-After": data[:99].decode("latin1")}, raw, data, Peer("a.org")
    )


def _redirect(data: bytes) -> None:
    with reached(Peer("a.org")), _following():
        HttpRequest("POST", "https://a.org/v2/").redirected(301, data.decode("latin1"))


def _progress(data: bytes) -> None:
    log = BuildLog(lambda _: None)
    log.write_trace(lambda: read_trace(base64.b64encode(data).decode()))
    log.finish()


def _buildx(data: bytes) -> None:
    log, parser = BuildLog(lambda _: None), OutputParser()
    for item in (*parser.feed(data), *parser.flush()):
        if isinstance(item, dict):
            log.write_trace(lambda item=item: read_status(item))  # type: ignore[misc]  # bound at once
    log.finish()


class _NoEngine:
    def fileno(self) -> int:
        return -1


def _grpc(data: bytes) -> None:
    nobody: Any = _NoEngine()
    session = Session(nobody, io.BytesIO(b"context"), lambda _: None)
    server = Server(session._methods)
    for reply in server.receive(data):
        assert isinstance(reply, bytes)


def _called(path: str, message: bytes) -> bytes:
    import h2.connection  # noqa: PLC0415 - for a seed

    client = h2.connection.H2Connection()
    client.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
    client.send_headers(1, headers)
    client.send_data(1, b"\0" + len(message).to_bytes(4) + message, end_stream=True)
    return bytes(client.data_to_send())


@cache
def _directory() -> Path:
    made = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _load(data: bytes) -> None:
    load(Blobs(_directory() / "cache"), io.BytesIO(data))


def _tar(data: bytes) -> None:
    with open_tar(io.BytesIO(data)) as tar:
        for entry in entries(tar):
            if entry.isreg() and (file := tar.extractfile(entry)):
                file.read(1 << 20)


def _build_yml(data: bytes) -> None:
    (_directory() / "build.yml").write_bytes(data)
    read_build_yml(_directory())


def _docker_config(data: bytes) -> None:
    config = read_config(Path("config.json"), data)
    # Helpers are programs that a user names himself, and would be run.
    config = {key: value for key, value in config.items() if not key.startswith("cred")}
    for registry in ("a.org", "docker.io"):
        if login := Credentials(Path("config.json"), dict(config)).login_for(registry):
            assert login.basic


def _notary(data: bytes) -> None:
    text = data.decode(errors="replace")
    parse_list(text, ("targets", "targets/releases"))
    incomplete_roles(text)
    assert "\n" not in str(error_of(text, "a.org/b/c", "https://notary.a.org"))


def _dockerfile(data: bytes) -> None:
    text = data.decode(errors="replace")
    images_of(text, {"A": "b"})
    sources_of(text)


_NAMED = Reference.parse("a.org/b/foo:1")
_JOB = Job(
    "r1-abcd", "b/foo", _NAMED, "arm64", "1", "a" * 40, "1", digest_of(b"context"), build_args=(("A", "b"),)
)
_RUN = Run("r1-abcd", "me@here", 1.7e9, (PackageWork("b/foo", _NAMED, ("arm64",), (_JOB,)),))
_ORDER, _PARTS = make_order(_RUN, "nonce")
_SIGNED = SignTarget.of(_NAMED, Descriptor(OCI_INDEX, digest_of(INDEX), len(INDEX)))


def _part(data: bytes) -> None:
    """A part whose digest is right: what Redis holds beside another order is refused without being read."""
    order = Order("r1-abcd", 1.7e9, "nonce", "me@here", {"b/foo": digest_of(data)})
    canonical(read_part(order, "b/foo", data).to_json())


def _statement(data: bytes) -> None:
    assert to_statement(from_statement(data)) == data


_ENVELOPE = WORKER.states()


def _envelope(data: bytes) -> None:
    """Whatever is changed: what counts as signed is what was signed."""
    statement, _ = open_envelope(data, [WORKER.key.public])
    assert statement == open_envelope(_ENVELOPE, [WORKER.key.public])[0]


class _Stored:
    """A registry that answers with these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def manifest(self, _: Reference) -> Manifest:
        return Manifest(Descriptor(OCI_MANIFEST, digest_of(self._data), len(self._data)), self._data)


def _attachments(data: bytes) -> None:
    registry: Any = _Stored(data)
    image = _NAMED.with_digest(digest_of(b"image"))
    for layer in read_attachments(registry, image, SIGNATURES).layers:
        assert layer["size"] >= 0


def _ssh_blob(data: bytes) -> None:
    """What the armor of a signature holds: mutations of the armor itself rarely get that far."""
    body = base64.encodebytes(data).decode()
    _stated(f"-----BEGIN SSH SIGNATURE-----\n{body}-----END SSH SIGNATURE-----\n")


TARGETS: dict[str, Target] = {
    "index": Target(_index, (INDEX,)),
    "manifest": Target(_manifest, (MANIFEST, INDEX)),
    "image-configuration": Target(read_platform, (CONFIG,)),
    "challenge": Target(
        _challenge,
        (
            b'Bearer realm="https://auth.a.org/token",service="a.org",scope="repository:a:pull"',
            b"Basic realm=x",
        ),
    ),
    "token": Target(
        lambda data: read_token(_response(data)), (b'{"token": "t0ken"}', b'{"access_token": "x"}')
    ),
    "registry-error": Target(
        lambda data: check_status("GET", _response(data, 429)),
        (b'{"errors": [{"code": "X", "message": "y"}]}',),
    ),
    "retry-after": Target(
        lambda data: requested_pause(data.decode("latin1")), (b"Wed, 21 Oct 2026 07:28:00 GMT", b"120")
    ),
    "redirect": Target(
        _redirect, (b"https://a.org/x", b"http://a.org\\@b.org:80/?x", b"//[::1]:5/x", b"../x")
    ),
    "protobuf": Target(
        parse_architectures,
        (
            encode(
                (1, encode((3, encode((1, "arm64"), (2, "linux"))))),
            ),
            TRACE,
        ),
        (ValueError,),
    ),
    "progress": Target(_progress, (TRACE,)),
    "buildx-progress": Target(_buildx, (STATUS + b"\n", b"{\n" + STATUS[1:-1] + b"\n}\n")),
    "engine-message": Target(json_object, (b'{"stream": "x"}', b'{"aux": {"ID": "sha256:a"}}')),
    "session": Target(
        _grpc,
        tuple(
            _called(path, encode((1, "a.org")))
            for path in ("/moby.filesync.v1.Auth/Credentials", "/moby.upload.v1.Upload/Pull", "/other")
        ),
    ),
    "context": Target(
        lambda data: context_hash(list(check_entries(TarReader(io.BytesIO(data)).entries())), (), ()),
        (context_seed(),),
    ),
    "stored-context": Target(
        lambda data: [len(one) for one in _decompressed([data], zlib.decompressobj(), 1 << 20)],
        (zlib.compress(context_seed()), zlib.compress(bytes(1 << 22))),
        (zlib.error,),
    ),
    "tar": Target(_tar, (archive_of(a=b"x", b=b"y" * 600), context_seed()), UNREADABLE),
    "archive": Target(
        _load,
        (
            archive_of(
                **{
                    "manifest.json": b'[{"Config": "c.json", "Layers": [], "RepoTags": ["a:1"]}]',
                    "c.json": CONFIG,
                }
            ),
            archive_of(**{"index.json": INDEX, "oci-layout": b"{}"}),
        ),
    ),
    "build.yml": Target(
        _build_yml,
        (
            b"image: foo\norg: bar\narches:\n  - amd64\nbuildArgs:\n  - A=b\nconfig:\n  binds: [/a:/b]\n",
            b"image: foo\nextra-sources:\n  - ../a:b\ndepends:\n  docker-images:\n    target: x.tar\n",
            b"image: foo\ndepends:\n  docker-images:\n    list: [a:1]\nconfig:\n  capabilities: [all]\n",
        ),
    ),
    "reference": Target(
        lambda data: Reference.parse(data.decode(errors="replace")),
        (b"alpine", b"a.org:5000/b/c:1.0@" + digest_of(b"x").encode(), b"docker.io/library/x:y"),
    ),
    "dockerfile": Target(
        _dockerfile,
        (
            "FROM a\nCOPY --from=\u00b2 x y\n".encode(),
            b"ARG A=1\nFROM --platform=$BUILDPLATFORM alpine:${A} AS base\nRUN --mount=type=bind,from=x y\n",
            b'FROM a\nCOPY --from=b/c:1 ["x", "y"]\nRUN <<E\nz\nE\nADD a \\\n  b\n',
        ),
    ),
    "notary-output": Target(
        _notary,
        (
            LISTED,
            b"* fatal: could not reach https://x: 403",
            b'Error getting targets/releases: "x" expired at 2026',
        ),
    ),
    "notary-metadata": Target(
        lambda data: (parse_keys(data, "targets/releases"), parse_keys(data, "targets")),
        (TUF,),
        (KeyError, TypeError, ValueError),
    ),
    "config.json": Target(
        _docker_config,
        (
            json_bytes(
                {"auths": {"a.org": {"auth": "YTpi"}, "https://index.docker.io/v1/": {"identitytoken": "x"}}}
            ),
            json_bytes({"auths": {"a.org": {"username": "a", "password": "b", "registrytoken": "c"}}}),
        ),
    ),
    "order": Target(Order.from_bytes, (_ORDER.to_bytes(), replace(_ORDER, retry_of="r1").to_bytes())),
    "order-part": Target(_part, tuple(_PARTS.values())),
    "ssh-signature": Target(lambda data: _stated(data.decode("latin1")), (ssh_signature().encode(),)),
    "ssh-signature-blob": Target(_ssh_blob, (base64.b64decode("".join(ssh_signature().split("\n")[1:-2])),)),
    "ssh-key": Target(
        lambda data: read_public_key(data.decode("latin1")),
        (f"{ssh_public_key(1)} me".encode(),),
        (ValueError,),
    ),
    "statement": Target(_statement, (to_statement(PROVENANCE),)),
    "envelope": Target(_envelope, (_ENVELOPE,)),
    "worker-key": Target(lambda data: read_worker_key(data.decode("latin1")), (WORKER.key.public.encode(),)),
    "policy": Target(lambda data: policy_of("policy.yml", data), (POLICY,)),
    "cosign-payload": Target(lambda data: says(data, _SIGNED), (payload_of(_SIGNED),)),
    "cosign-attachments": Target(
        _attachments,
        (
            json_bytes(
                {
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "config": described(OCI_CONFIG),
                    "layers": [described(SIGNATURES.layer_type, annotations={SIGNATURE: "YQ=="})],
                    "subject": described(OCI_INDEX),
                }
            ),
        ),
    ),
    "registry-creds": Target(
        lambda data: read_logins(Secret(data.decode(errors="replace"))),
        (b"a.org=b:c,docker.io=d", b"https://a.org/=t"),
    ),
}
"""Name to parser; the name is what --only takes."""
