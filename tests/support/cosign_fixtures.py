"""Fixtures: an index in the lab's registry, the farm's key pair, and another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cosign import Published, farm_keys, program_keys, published_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.trust.cosign.key_files import CosignKeyPair
    from lab.lab import Lab

__all__ = ["key_files", "other_keys", "published"]


@pytest.fixture(scope="session")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> CosignKeyPair:
    """The farm's key pair."""
    return farm_keys(tmp_path_factory.mktemp("cosign"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> CosignKeyPair:
    """A key pair that the farm does not know."""
    return program_keys(tmp_path_factory.mktemp("other"))


@pytest.fixture
def published(lab: Lab, key_files: CosignKeyPair) -> Iterator[Published]:
    with published_index(lab.registry, key_files) as made:
        yield made
