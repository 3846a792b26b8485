from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from farm.builders.docker_engine import EngineInfo
from farm.registry.client import open_registry
from farm.settings import Settings
from farm.trust.policy import Policy
from tasks.build_attempt import ImageBuild

IMAGE = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("scratch", "containerd", "attestations", "expected"),
    [
        ({IMAGE}, False, 1, True),
        (set(), False, 1, False),
        ({IMAGE}, True, 1, False),
        ({IMAGE}, False, 2, False),
    ],
)
def test_the_farm_pushes_what_has_no_base_image_and_need_not_be_the_same_elsewhere(
    scratch: set[str],
    containerd: bool,
    attestations: int,
    expected: bool,
) -> None:
    unused: Any = None
    info = EngineInfo("id", "20.10", "amd64", "/", containerd=containerd)
    with open_registry(Settings()) as registry:
        context: Any = SimpleNamespace(policy=Policy(attestations=attestations), registry=registry)
        build = ImageBuild(context, unused, unused, unused, unused, [IMAGE], scratch)
        assert bool(build._client_for(info)) == expected
