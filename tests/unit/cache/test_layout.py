"""A cache is the one of `linuxkit`: its files, and its lock, which is fcntl's over the whole of `.lock`."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.cache.layout import NAME as REF_NAME
from farm.cache.layout import Cache, locked
from farm.cache.named_images import add_images, find_image
from farm.errors import CacheBusyError, CacheError
from farm.model import ArchImage, Descriptor, Platform
from farm.registry.oci import DOCKER_MANIFEST, OCI_INDEX
from tests.support.images import LAYER, NAME, add, tar
from tests.unit.cache.conftest import layer_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def layers(text: str) -> list[bytes]:
    return [tar({"file": text.encode()})]


def test_a_missing_cache_reads_as_empty_and_is_not_created(cache: Cache) -> None:
    assert cache.names() == {}
    assert cache.find(NAME) is None
    assert not cache.root.exists()


def test_an_image_has_the_names_and_files_of_linuxkit(cache: Cache) -> None:
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


def test_a_single_image_that_linuxkit_pulled_becomes_a_member_of_the_index(cache: Cache) -> None:
    single = add(cache, layers("single"), "arm64").descriptors[0]
    bare = Descriptor(single.media_type, single.digest, single.size)
    cache.change(lambda _: {str(NAME): bare})
    found = find_image(cache, NAME, "arm64")
    assert found is not None
    assert found.descriptors[0].digest == bare.digest
    add_images(cache, NAME, [add(cache, layers("amd"))])
    assert find_image(cache, NAME, "arm64") is not None


def test_an_image_with_dockers_media_types_is_named_through_an_oci_index(cache: Cache) -> None:
    image = add(cache, layers("one"))
    body = json.loads(cache.blobs.read(image.descriptors[0])) | {"mediaType": DOCKER_MANIFEST}
    root = replace(cache.blobs.put(json.dumps(body).encode(), DOCKER_MANIFEST), platform=Platform("amd64"))
    old = ArchImage("amd64", image.reference, (root,))
    add_images(cache, NAME, [old])
    assert {one.media_type for one in cache.names().values()} == {OCI_INDEX}
    assert find_image(cache, NAME, "amd64") == old


def test_the_entries_of_other_programs_are_kept(cache: Cache) -> None:
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


def test_an_image_with_a_missing_blob_is_not_found(cache: Cache) -> None:
    image = add(cache, layers("one"))
    add_images(cache, NAME, [image])
    layer_of(cache).unlink()
    assert find_image(cache, NAME, "amd64") is None


def test_a_member_that_another_program_removed_is_left_out_of_the_next_index(cache: Cache) -> None:
    gone = add(cache, layers("one"))
    add_images(cache, NAME, [gone])
    cache.blobs.path(gone.descriptors[0].digest).unlink()
    add_images(cache, NAME, [add(cache, layers("two"), "arm64")])
    index = cache.find(NAME)
    assert index is not None
    assert b"amd64" not in cache.blobs.read(index)


def test_an_incomplete_image_never_gets_a_name(cache: Cache) -> None:
    image = add(cache, layers("one"))
    layer_of(cache).unlink()
    with pytest.raises(CacheBusyError):
        add_images(cache, NAME, [image])
    assert cache.names() == {}


def test_a_blob_with_another_digest_is_not_stored(cache: Cache) -> None:
    with cache.blobs.writing() as writer:
        writer.write(b"something")
        with pytest.raises(CacheError):
            writer.commit(LAYER, f"sha256:{'0' * 64}")
    assert list(cache.blobs.directory.iterdir()) == []
    assert list(cache.blobs.partial.iterdir()) == []


@pytest.mark.parametrize("bad", ["sha256:../../../etc/passwd", "sha512:00", "", "sha256:" + "A" * 64])
def test_a_digest_cannot_name_a_file_outside_the_cache(cache: Cache, bad: str) -> None:
    with pytest.raises(CacheError):
        cache.blobs.path(bad)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"manifests": 1}', '{"manifests": [1]}'])
def test_a_damaged_index_is_reported_with_a_hint(cache: Cache, text: str) -> None:
    add_images(cache, NAME, [add(cache, layers("one"))])
    (cache.root / "index.json").write_text(text)
    with pytest.raises(CacheError, match=r"index\.json"):
        cache.names()


# As linuxkit does it (util.Lock): open or create, F_SETLKW of a write lock over all.
LINUXKIT = """
import fcntl, os, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[2] == "try" else 0))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@contextmanager
def held_by_linuxkit(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LINUXKIT, str(path), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def try_as_linuxkit(path: Path) -> bool:
    command = [sys.executable, "-c", LINUXKIT, str(path), "try"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def test_linuxkit_waits_while_the_farm_holds_the_lock(path: Path) -> None:
    with locked(path, 5):
        assert not try_as_linuxkit(path)
    assert try_as_linuxkit(path)


def test_the_farm_waits_while_linuxkit_holds_the_lock_and_reports_it_after_the_timeout(path: Path) -> None:
    with held_by_linuxkit(path), pytest.raises(CacheBusyError) as caught, locked(path, 0.1):
        pass
    assert caught.value.retryable
    assert "linuxkit" in str(caught.value.hint)


def test_readers_share_the_lock_and_exclude_a_writer(path: Path) -> None:
    path.touch()
    reading = locked(path, 1, exclusive=False)
    with reading, locked(path, 1, exclusive=False), pytest.raises(CacheBusyError), locked(path, 0.05):
        pass
