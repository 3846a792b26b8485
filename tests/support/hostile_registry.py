"""A client of a hostile registry, and limits of time and memory for what it does."""

from __future__ import annotations

import base64
import json
import time
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
PASSWORD = "s3cret-word"


def reference_at(host: str) -> Reference:
    return Reference.parse(f"{host}/org/foo:1")


def client(tmp_path: Path, *logins: str, timeout: float = 5.0, **options: Any) -> Registry:
    """A client with a password, or an identity token, for these registries."""
    basic = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    entries = {host: {"auth": basic} for host in logins}
    (tmp_path / "config.json").write_text(json.dumps({"auths": entries}))
    return Registry(Credentials.load(tmp_path), timeout=timeout, **options)


@contextmanager
def bounded(memory: int = 12 * MIB, seconds: float = 5.0) -> Iterator[None]:
    """Fail if the body takes more than this."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < seconds
    assert peak < memory
