from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.cache.care import verify
from farm.cache.images import add_images, find_image
from farm.cache.layout import NAME as REF_NAME
from farm.cache.layout import Cache
from farm.errors import CacheBusyError, CacheError
from farm.model import ArchImage, Descriptor, Platform, Reference
from farm.registry.media import DOCKER_MANIFEST, OCI_INDEX
from tests.support.images import LAYER, NAME, add, tar

if TYPE_CHECKING:
    from pathlib import Path

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", patience=60)


def layers(text: str) -> list[bytes]:
    return [tar({"file": text.encode()})]


def test_a_cache_that_is_not_there_is_empty_and_reading_does_not_make_it(cache: Cache) -> None:
    assert cache.names() == {}
    assert cache.find(NAME) is None
    assert not cache.root.exists()


def test_an_image_has_the_names_and_files_that_linuxkit_gives_it(cache: Cache) -> None:
    image = add(cache, layers("one"))
    add_images(cache, NAME, [image])
    index = json.loads((cache.root / "index.json").read_text())
    assert json.loads((cache.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert index["schemaVersion"] == 2
    by_name = {one["annotations"][REF_NAME]: one for one in index["manifests"]}
    assert set(by_name) == {"docker.io/linuxkit/foo:abc", "docker.io/linuxkit/foo:abc-amd64"}
    assert by_name["docker.io/linuxkit/foo:abc"]["mediaType"] == OCI_INDEX
    assert by_name["docker.io/linuxkit/foo:abc-amd64"]["digest"] == image.descriptors[0].digest
    members = json.loads(cache.blobs.path(by_name["docker.io/linuxkit/foo:abc"]["digest"]).read_text())
    assert [one["platform"] for one in members["manifests"]] == [{"architecture": "amd64", "os": "linux"}]


def test_another_architecture_is_added_to_the_index(cache: Cache) -> None:
    for arch in ("amd64", "arm64", "s390x"):
        add_images(cache, NAME, [add(cache, layers(arch), arch)])
    assert all(find_image(cache, NAME, arch) for arch in ("amd64", "arm64", "s390x"))
    assert find_image(cache, NAME, "riscv64") is None
    assert len(cache.names()) == 4


def test_a_rebuilt_architecture_takes_the_place_of_the_old_one(cache: Cache) -> None:
    add_images(cache, NAME, [add(cache, layers("old")), add(cache, layers("arm"), "arm64")])
    new = add(cache, layers("new"))
    add_images(cache, NAME, [new])
    assert find_image(cache, NAME, "amd64") == new
    assert find_image(cache, NAME, "arm64") is not None


def test_a_single_image_that_linuxkit_pulled_under_the_name_becomes_a_member_of_the_index(
    cache: Cache,
) -> None:
    single = add(cache, layers("single"), "arm64").descriptors[0]
    bare = Descriptor(single.media_type, single.digest, single.size)
    cache.change(lambda _: {str(NAME): bare})
    found = find_image(cache, NAME, "arm64")
    assert found is not None
    assert found.descriptors[0].digest == bare.digest
    add_images(cache, NAME, [add(cache, layers("amd"))])
    assert find_image(cache, NAME, "arm64") is not None


def test_an_image_of_dockers_media_types_is_named_through_an_index_that_everybody_reads(cache: Cache) -> None:
    image = add(cache, layers("one"))
    body = json.loads(cache.blobs.read(image.descriptors[0])) | {"mediaType": DOCKER_MANIFEST}
    root = replace(cache.blobs.put(json.dumps(body).encode(), DOCKER_MANIFEST), platform=Platform("amd64"))
    old = ArchImage("amd64", image.reference, (root,))
    add_images(cache, NAME, [old])
    assert {one.media_type for one in cache.names().values()} == {OCI_INDEX}
    assert find_image(cache, NAME, "amd64") == old


def test_what_others_wrote_into_the_index_stays_as_it_is(cache: Cache) -> None:
    add_images(cache, NAME, [add(cache, layers("one"))])
    path = cache.root / "index.json"
    index = json.loads(path.read_text())
    foreign = {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 1, "artifactType": "y"}
    path.write_text(
        json.dumps({**index, "annotations": {"a": "b"}, "manifests": [foreign, *index["manifests"]]})
    )
    add_images(cache, NAME, [add(cache, layers("two"), "arm64")])
    after = json.loads(path.read_text())
    assert after["annotations"] == {"a": "b"}
    assert foreign in after["manifests"]


def test_an_image_of_which_a_part_is_missing_is_not_in_the_cache(cache: Cache) -> None:
    image = add(cache, layers("one"))
    add_images(cache, NAME, [image])
    next(
        path for path in cache.blobs.directory.iterdir() if path.read_bytes().startswith(b"\x1f\x8b")
    ).unlink()
    assert find_image(cache, NAME, "amd64") is None


def test_a_member_that_another_program_removed_is_left_out_of_the_next_index(cache: Cache) -> None:
    gone = add(cache, layers("one"))
    add_images(cache, NAME, [gone])
    cache.blobs.path(gone.descriptors[0].digest).unlink()
    add_images(cache, NAME, [add(cache, layers("two"), "arm64")])
    index = cache.find(NAME)
    assert index is not None
    assert b"amd64" not in cache.blobs.read(index)


def test_a_name_is_never_given_to_what_is_not_here_in_full(cache: Cache) -> None:
    image = add(cache, layers("one"))
    next(
        path for path in cache.blobs.directory.iterdir() if path.read_bytes().startswith(b"\x1f\x8b")
    ).unlink()
    with pytest.raises(CacheBusyError):
        add_images(cache, NAME, [image])
    assert cache.names() == {}


def test_a_blob_that_is_not_what_its_digest_names_is_not_kept(cache: Cache) -> None:
    with cache.blobs.writing() as writer:
        writer.write(b"something")
        with pytest.raises(CacheError):
            writer.keep(LAYER, f"sha256:{'0' * 64}")
    assert list(cache.blobs.directory.iterdir()) == []
    assert list(cache.blobs.partial.iterdir()) == []


@pytest.mark.parametrize("bad", ["sha256:../../../etc/passwd", "sha512:00", "", "sha256:" + "A" * 64])
def test_a_digest_can_name_no_file_outside_the_cache(cache: Cache, bad: str) -> None:
    with pytest.raises(CacheError):
        cache.blobs.path(bad)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"manifests": 1}', '{"manifests": [1]}'])
def test_a_damaged_index_is_told_with_what_to_do(cache: Cache, text: str) -> None:
    add_images(cache, NAME, [add(cache, layers("one"))])
    (cache.root / "index.json").write_text(text)
    with pytest.raises(CacheError) as caught:
        cache.names()
    assert "index.json" in str(caught.value)


def write_arches(root: Path, number: int, count: int) -> None:
    """Add `count` images under a name of its own and one architecture under a shared one."""
    cache = Cache(root, patience=120)
    shared = Reference.parse("linuxkit/shared:1")
    arch = ("amd64", "arm64", "s390x", "riscv64")[number]
    for turn in range(count):
        name = Reference.parse(f"linuxkit/own{number}:{turn}")
        add_images(cache, name, [add(cache, layers(f"{number} {turn}"), name=name)])
    add_images(cache, shared, [add(cache, layers(f"shared {arch}"), arch, shared)])


def test_processes_that_write_at_once_lose_nothing(cache: Cache) -> None:
    """linuxkit#4131: parallel builds of one cache lost images and left index.json in pieces."""
    processes = [FORK.Process(target=write_arches, args=(cache.root, number, 10)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    names = cache.names()
    assert len(names) == 4 * 10 * 2 + 1 + 4
    shared = Reference.parse("linuxkit/shared:1")
    assert all(find_image(cache, shared, arch) for arch in ("amd64", "arm64", "s390x", "riscv64"))
    assert verify(cache) == []


def test_threads_that_write_at_once_lose_nothing(cache: Cache) -> None:
    threads = [threading.Thread(target=write_arches, args=(cache.root, number, 3)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.names()) == 4 * 3 * 2 + 1 + 4
    assert verify(cache) == []


def write_for_ever(root: Path, seed: int) -> None:
    cache = Cache(root, patience=60)
    for turn in range(100_000):
        name = Reference.parse(f"linuxkit/n{turn % 7}:1")
        arch = ("amd64", "arm64")[turn % 2]
        add_images(cache, name, [add(cache, layers(f"{seed} {turn}"), arch, name)])


def test_a_cache_whose_writer_is_killed_a_hundred_times_is_always_whole(cache: Cache) -> None:
    """kill -9 at a random point, each time: it is read, every byte of it is right, and no name is lost."""
    numbers = random.Random()  # noqa: S311 - when to kill is no secret
    known: set[str] = set()
    for turn in range(100):
        process = FORK.Process(target=write_for_ever, args=(cache.root, turn))
        process.start()
        process.join(numbers.uniform(0.0, 0.1))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        names = cache.names()
        assert known <= set(names)
        known = set(names)
        assert verify(cache) == []
    assert len(known) > 2
