"""Images from and to a real engine, also if it stops meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from farm.builders import engine_images
from farm.builders.docker_engine import Engine
from farm.cache import archive_import
from farm.cache.archive_export import archive as exported
from farm.cache.maintenance import verify
from farm.errors import CacheError, EngineError, EngineUnavailableError
from farm.model import Reference
from tests.support.proxy.tcp import proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.cache.layout import Cache
    from lab.lab import Lab


@pytest.fixture
def engine(lab: Lab) -> Iterator[Engine]:
    with Engine.connect(lab.engine_url, timeout=60) as engine:
        yield engine


@pytest.fixture
def image(engine: Engine, lab: Lab) -> Iterator[Reference]:
    """The base image in the engine, under a name that only this test uses."""
    for _ in engine.api.pull(lab.base, stream=True):
        pass
    name = Reference("localhost", f"test/{uuid4().hex}", "1")
    engine_images.tag_image(engine, lab.base, name)
    yield name
    engine_images.remove_image(engine, name)


def test_an_image_of_the_engine_survives_import_and_export(
    engine: Engine, image: Reference, cache: Cache
) -> None:
    before = engine.inspect(str(image))
    with engine_images.save_image(engine, str(image)) as stream:
        (loaded,) = archive_import.load(cache.blobs, stream)
    cache.change(lambda _: {str(image): loaded.root})
    assert verify(cache) == []
    engine_images.remove_image(engine, image)
    assert engine_images.image_id(engine, image) is None
    engine_images.load_images(engine, exported(cache.blobs, loaded.root, [image]))
    after = engine.inspect(str(image))
    assert [after[key] for key in ("RootFS", "Architecture")] == [
        before[key] for key in ("RootFS", "Architecture")
    ]
    assert engine_images.names_in(engine, Reference(image.registry, image.repository)) == [image]


def test_an_image_that_the_engine_does_not_have_is_an_error(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"No such image|does not exist"):
        engine_images.save_image(engine, f"localhost/test/{uuid4().hex}:1")


def test_an_engine_that_stops_during_an_export_leaves_no_name(
    lab: Lab, image: Reference, cache: Cache, tmp_path: Path
) -> None:
    with (
        proxy(lab.engine_url, socket=tmp_path / "engine.sock") as proxied,
        Engine.connect(proxied.address, timeout=60) as engine,
        engine_images.save_image(engine, str(image)) as stream,
    ):
        stream.read(1000)
        proxied.cut()
        with pytest.raises((EngineUnavailableError, CacheError)):
            archive_import.load(cache.blobs, stream)
    assert cache.names() == {}


def test_the_engine_refuses_an_invalid_archive(engine: Engine) -> None:
    with pytest.raises(EngineError):
        engine_images.load_images(engine, iter([b"no archive" * 1000]))
