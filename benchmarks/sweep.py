"""The duration of looking up published images at once, beside one look-up after another."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from benchmarks.measure import Row, seconds
from farm.model import ARCHES, Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.published_images import look_up_all
from lab.lab import running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = 100


def rows() -> Iterator[Row]:
    """A hundred packages for three architectures: four hundred tags."""
    with redirect_stdout(StringIO()), running_lab() as lab:
        wanted = {
            Reference.parse(f"{lab.registry}/linuxkit/p{number}:{number:040x}"): tuple(ARCHES)
            for number in range(_PACKAGES)
        }
        tags = [tag for index in wanted for tag in (index, *(index.for_arch(arch) for arch in ARCHES))]
        with Registry(Credentials(lab.directory / "docker"), timeout=30) as registry:
            farm = seconds(lambda: look_up_all(registry, wanted), rounds=3)
            peer = seconds(lambda: [registry.manifest(tag) for tag in tags], rounds=3)
    yield Row(f"looking up {len(tags)} tags", farm, "one after another", peer)
