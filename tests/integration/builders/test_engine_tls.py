"""An engine at tcp:// with TLS: clients with a certificate of its CA can build, others are refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compose.certificates import make_ca, make_certificate
from farm.builders.builder import BuildSpec, Control
from farm.builders.docker_engine import Engine
from farm.builders.engine_builder import EngineBuilder
from farm.builders.engine_images import remove_image
from farm.errors import EngineUnavailableError, EngineUntrustedError, InputError
from farm.model import Reference
from lab.directory import own_directory
from lab.engine import own_engine
from lab.process import free_port
from tests.integration.builders.conftest import tar

if TYPE_CHECKING:
    from collections.abc import Iterator


Guarded = tuple[str, Path, Path]
"""An engine's URL, certificates for its clients, and certificates of another CA."""


def make_client(directory: Path, name: str) -> Path:
    """A directory of certificates as `docker --tlsverify` expects it, beside the server's files."""
    own = directory / name
    (own / "client").mkdir(parents=True)
    make_ca(own, name)
    for who in ("server", "client"):
        make_certificate(own, who, ("127.0.0.1",))
    for made, wanted in (("ca.crt", "ca.pem"), ("client.crt", "cert.pem"), ("client.key", "key.pem")):
        shutil.copy(own / made, own / "client" / wanted)
    return own


@pytest.fixture(scope="module")
def guarded_engine() -> Iterator[Guarded]:
    """A Docker Engine that accepts only certificates of its CA."""
    with own_directory() as home:
        own, other = make_client(home, "own"), make_client(home, "other")
        host = f"tcp://127.0.0.1:{free_port()}"
        files = [f"--tlscacert={own}/ca.crt", f"--tlscert={own}/server.crt", f"--tlskey={own}/server.key"]
        service = own_engine(home, options=["--tlsverify", *files, "--host", host]).service
        service.start()
        try:
            yield host, own / "client", other / "client"
        finally:
            service.stop()


def test_a_build_works_over_tls(guarded_engine: Guarded) -> None:
    log: list[str] = []
    # More than one TLS record in both directions.
    packed = tar({"Dockerfile": "FROM scratch\nCOPY big /\n", "big": "x" * 300_000})
    url, certs, _ = guarded_engine
    with packed, Engine.connect(url, certs=certs, timeout=60) as engine:
        assert engine.emulated() is not None
        tag = Reference.parse("localhost:1/test/tls:1")
        spec = BuildSpec(engine.info().architecture, tags=(str(tag),))
        image = EngineBuilder(engine, lambda _: None).build(spec, packed, Control(log.append, 120))
        assert engine.inspect(image)["Size"] >= 300_000
        remove_image(engine, tag)


def test_a_client_without_a_certificate_of_the_ca_is_refused(guarded_engine: Guarded) -> None:
    url, _, _ = guarded_engine
    with pytest.raises(EngineUnavailableError):
        Engine.connect(url, certs=None, timeout=30)


def test_an_engine_whose_certificate_is_of_another_ca_is_reported_as_that(guarded_engine: Guarded) -> None:
    url, _, other_certs = guarded_engine
    with pytest.raises(EngineUntrustedError, match=r"certificate of the Docker Engine .* is not trusted"):
        Engine.connect(url, certs=other_certs, timeout=30)


def test_a_missing_certificate_is_reported_with_the_three_file_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ca\.pem, cert\.pem and key\.pem"):
        Engine.connect("tcp://127.0.0.1:1", certs=tmp_path, timeout=5)
