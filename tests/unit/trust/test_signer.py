"""Time limits of the signer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from farm.model import Reference
from farm.registry.credentials import Credentials
from farm.settings import Settings
from farm.system import deadline
from farm.trust.notary import signer, verify
from farm.trust.notary.signer import NotarySigner
from farm.trust.notary.verify import SignedTargets

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from farm.trust.notary.client import Notary


def test_the_time_for_the_server_starts_after_a_slow_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    left: list[float] = []

    def login_for(*_: object) -> None:
        passed[0] += 3600

    def read_targets(notary: Notary, _: str) -> SignedTargets:
        left.append(notary.deadline.left())
        return SignedTargets({}, allowed=(b"a certificate of the key",))

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(deadline, "time", clock)
    monkeypatch.setattr(Credentials, "login_for", login_for)
    monkeypatch.setattr(signer, "check_key", lambda *_, **__: b"key")
    monkeypatch.setattr(signer, "require", lambda *_: None)
    monkeypatch.setattr(verify, "read_targets", read_targets)
    (tmp_path / "key.pem").touch()
    settings = Settings(
        notary_server="registry",
        state_dir=tmp_path,
        docker_config=tmp_path,
        signing_key=tmp_path / "key.pem",
    )
    NotarySigner(settings).ready([Reference.parse("registry.example/linuxkit/foo")])
    assert left[0] > 0
