"""Images of `depends.docker-images`, saved by a real engine into a full directory."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from farm.builders.depends_images import with_depends_images
from farm.errors import TemporaryFullError
from farm.model import DockerImages
from farm.registry.client import open_registry
from tests.integration.builders.conftest import tar
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.builders.conftest import Bench


def test_a_full_temporary_directory_is_not_reported_as_an_error_of_the_engine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = tar({"Dockerfile": "FROM scratch\n"})
    depends = DockerImages((bench.base,), target="images.tar")
    with (
        small_disk(tmp_path / "disk") as disk,
        monkeypatch.context() as worker,
        open_registry(bench.settings) as registry,
        context,
    ):
        worker.setattr(tempfile, "tempdir", str(disk))
        with (
            pytest.raises(TemporaryFullError, match=f"^the temporary directory {disk} is full"),
            with_depends_images(
                context, depends, "amd64", engine=bench.engine, registry=registry, log=bench.log.append
            ),
        ):
            pass
