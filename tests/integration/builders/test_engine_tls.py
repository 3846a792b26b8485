"""An engine at tcp:// behind TLS: who shows a certificate of its CA builds as on a socket, others do not."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from compose.certificates import make_ca, make_certificate
from farm.builders.build_spec import BuildSpec
from farm.builders.docker_engine import Engine
from farm.builders.engine_build import build
from farm.builders.engine_push import forget
from farm.errors import EngineUnavailableError, InputError
from farm.model import Reference
from lab.directory import own_directory
from lab.engine import own_engine
from tests.integration.builders.conftest import free_port, tar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Guarded:
    """Where the engine is, and what a client of it shows."""

    url: str
    certs: Path
    strangers: Path
    """The same of another CA."""


def make_client(directory: Path, name: str) -> Path:
    """A directory as `docker --tlsverify` has it, and beside it the server's files."""
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
    """A Docker Engine that lets in only whom its CA knows."""
    with own_directory() as home:
        own, other = make_client(home, "own"), make_client(home, "other")
        host = f"tcp://127.0.0.1:{free_port()}"
        files = [f"--tlscacert={own}/ca.crt", f"--tlscert={own}/server.crt", f"--tlskey={own}/server.key"]
        service = own_engine(home, options=["--tlsverify", *files, "--host", host]).service
        service.start()
        try:
            yield Guarded(host, own / "client", other / "client")
        finally:
            service.stop()


def test_a_build_behind_tls_is_as_one_on_a_socket(guarded_engine: Guarded) -> None:
    log: list[str] = []
    # More than one TLS record, both ways.
    packed = tar({"Dockerfile": "FROM scratch\nCOPY big /\n", "big": "x" * 300_000})
    with packed, Engine.connect(guarded_engine.url, certs=guarded_engine.certs, timeout=60) as engine:
        assert engine.info().os == "linux"
        assert engine.emulated() is not None
        tag = Reference.parse("localhost:1/test/tls:1")
        image = build(
            engine,
            BuildSpec(engine.info().architecture, tags=(str(tag),)),
            packed,
            log=log.append,
            cancelled=lambda: False,
            timeout=120,
            credentials=lambda _: None,
        )
        assert engine.inspect(image)["Size"] >= 300_000
        forget(engine, tag)


def test_who_shows_no_certificate_or_a_stranger_s_is_not_let_in(guarded_engine: Guarded) -> None:
    for certs in (None, guarded_engine.strangers):
        with pytest.raises(EngineUnavailableError):
            Engine.connect(guarded_engine.url, certs=certs, timeout=30)


def test_a_directory_without_the_three_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ca\.pem, cert\.pem and key\.pem"):
        Engine.connect("tcp://127.0.0.1:1", certs=tmp_path, timeout=5)
