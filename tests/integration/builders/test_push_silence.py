"""A registry that stops answering during a push: the engine would wait forever, the farm does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.builders.builder import BuildSpec, Control
from farm.builders.engine_push import push
from farm.errors import RegistryUnavailableError
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import silence

if TYPE_CHECKING:
    from lab.lab import Lab
    from tests.integration.builders.conftest import Bench


def test_a_push_without_progress_is_stopped_and_can_be_retried(bench: Bench, lab: Lab) -> None:
    with http_proxy(lab.registry) as proxy:
        name = bench.name(proxy.address)
        bench.build("FROM BASE\n", BuildSpec("amd64"), name=name)
        proxy.breaks("PUT", "/manifests/", silence())
        with pytest.raises(RegistryUnavailableError, match="made no progress for 2 s") as stopped:
            push(bench.engine, name, None, Control(bench.log.append, 60), silence=2)
        assert stopped.value.retryable
        bench.push(name)
