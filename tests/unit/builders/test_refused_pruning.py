"""An engine that refuses to prune its build cache: nobody learns only from a full disk that it does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from farm.builders.docker_engine import Engine
from farm.builders.pruning import prune
from farm.errors import DiskFullError, EngineError, EngineUnavailableError
from farm.settings import Secret, Settings
from tasks.disk_space import DiskSpace
from tasks.worker_context import SharedFlags, WorkerContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def refusing() -> Iterator[Callable[[int], Engine]]:
    """Make an engine that answers each request to prune with a status."""
    servers: list[HTTPServer] = []

    def make(status: int) -> Engine:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, {"ApiVersion": "1.41"})

            def do_POST(self) -> None:
                self._answer(status, {"message": "not today"})

            def _answer(self, code: int, body: dict[str, str]) -> None:
                content = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return Engine.connect(f"tcp://127.0.0.1:{servers[-1].server_port}", timeout=5.0)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def disk_of(engine: Engine) -> DiskSpace:
    """The disk of an engine, without the images of dead builds."""
    context = WorkerContext(Settings(broker=Secret("redis://localhost:1")), "worker@test", SharedFlags())
    return DiskSpace(context, engine, "")


@pytest.mark.parametrize(
    ("status", "error"), [(403, EngineError), (404, EngineError), (500, EngineUnavailableError)]
)
def test_an_engine_that_refuses_to_prune_is_reported(
    refusing: Callable[[int], Engine], status: int, error: type[EngineError]
) -> None:
    with refusing(status) as engine, pytest.raises(error, match="not today"):
        prune(engine, keep=0)


def test_an_engine_that_prunes_already_for_another_worker_is_no_error(
    refusing: Callable[[int], Engine],
) -> None:
    with refusing(409) as engine:
        assert prune(engine, keep=0) == 0


def test_a_build_goes_on_while_the_cache_is_not_pruned_and_the_log_says_why(
    refusing: Callable[[int], Engine], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(DiskSpace, "_remove_leftovers", lambda _: None)
    with refusing(403) as engine:
        disk_of(engine).make_room()
    assert "is not pruned, and grows" in caplog.text
    assert "not today" in caplog.text


def test_a_full_disk_that_cannot_be_pruned_is_reported_with_the_engines_reason(
    refusing: Callable[[int], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskSpace, "_remove_leftovers", lambda _: None)
    with refusing(403) as engine, pytest.raises(DiskFullError, match=r"not today.*docker builder prune"):
        disk_of(engine).clean_up()
