"""A registry that takes a push and then says nothing: the engine would wait for ever, the farm does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.builders.build_spec import BuildSpec
from farm.builders.engine_push import push
from farm.errors import RegistryUnavailableError
from tests.support.http_faults import http_relay, silence

if TYPE_CHECKING:
    from lab.lab import Lab
    from tests.integration.builders.conftest import Bench


def test_a_push_that_gets_no_further_is_stopped_and_may_be_tried_again(bench: Bench, lab: Lab) -> None:
    with http_relay(lab.registry) as relay:
        name = bench.name(relay.address)
        bench.build("FROM BASE\n", BuildSpec("amd64"), name=name)
        relay.breaks("PUT", "/manifests/", silence())
        with pytest.raises(RegistryUnavailableError, match="got no further for 2 s") as stopped:
            push(
                bench.engine,
                name,
                None,
                log=bench.log.append,
                cancelled=lambda: False,
                timeout=60,
                silence=2,
            )
        assert stopped.value.retryable
        bench.push(name)
