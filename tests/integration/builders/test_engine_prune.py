from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from farm.builders.builder import BuildSpec
from farm.builders.pruning import prune

if TYPE_CHECKING:
    from tests.integration.builders.conftest import Bench


def test_pruning_frees_the_build_cache_and_the_engine_still_builds(bench: Bench) -> None:
    dockerfile = "FROM BASE\nCOPY which /which\nRUN dd if=/dev/urandom of=/noise bs=1M count=8\n"
    bench.build(dockerfile, BuildSpec("amd64"), which=str(uuid4()))
    assert prune(bench.engine, keep=0) > 0
    bench.build(dockerfile, BuildSpec("amd64"), which=str(uuid4()))


def test_a_cache_within_its_bounds_is_kept(bench: Bench) -> None:
    assert prune(bench.engine, keep=1 << 50) == 0
