"""Any sequence of additions, and any stack of layers, compared with a simple model."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.cache.archive_export import archive
from farm.cache.archive_import import load, names_for
from farm.cache.filesystem import flatten
from farm.cache.layout import Cache
from farm.cache.maintenance import prune, remove, verify
from farm.cache.named_images import add_images, find_image
from farm.model import ARCHES, ArchImage, Reference
from tests.support.images import add, tar

_ADDED = st.tuples(
    st.sampled_from(["linuxkit/a:1", "linuxkit/b:1", "localhost:5000/org/c:2"]),
    st.sampled_from(ARCHES),
    st.integers(0, 3),
)
_REMOVED = st.tuples(st.sampled_from(["linuxkit/a:1", "linuxkit/b:1"]), st.none(), st.none())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(_ADDED, _REMOVED), max_size=12))
def test_a_cache_holds_the_last_image_of_each_name_and_architecture(
    steps: list[tuple[str, str | None, int | None]],
) -> None:
    with TemporaryDirectory() as directory:
        cache = Cache(Path(directory), lock_timeout=60)
        model: dict[tuple[str, str], ArchImage] = {}
        for text, arch, content in steps:
            name = Reference.parse(text)
            if arch is None:
                remove(cache, [name, *(name.for_arch(one) for one in ARCHES)])
                model = {key: image for key, image in model.items() if key[0] != text}
                continue
            model[text, arch] = add(cache, [tar({"file": str(content).encode()})], arch, name)
            add_images(cache, name, [model[text, arch]])
        prune(cache, grace=-1)
        for text in ("linuxkit/a:1", "linuxkit/b:1", "localhost:5000/org/c:2"):
            for arch in ARCHES:
                assert find_image(cache, Reference.parse(text), arch) == model.get((text, arch))
        names = {str(Reference.parse(text)) for text, _ in model}
        assert set(cache.names()) == names | {str(image.reference) for image in model.values()}
        assert verify(cache) == []


_FOLDERS = ("p", "p/q", "r")
_FILES = ("a", "b", "c")
_ENTRY = st.one_of(
    st.tuples(
        st.sampled_from([*_FILES, *(f"{folder}/{file}" for folder in _FOLDERS for file in _FILES)]),
        st.one_of(st.binary(max_size=600), st.just("gone"), st.just("opaque")),
    ),
    st.tuples(st.sampled_from(_FOLDERS), st.sampled_from(["gone", "made"])),
)


def put_layer(entries: list[tuple[str, bytes | str]], model: dict[str, bytes]) -> bytes:
    """A layer of these entries, and the files that result from applying it to those below."""
    files: dict[str, bytes | None] = {}
    written: dict[str, bytes] = {}
    hidden: list[str] = []
    for path, what in entries:
        folder, _, name = path.rpartition("/")
        if isinstance(what, bytes):
            files[path] = written[path] = what
        elif what == "gone":
            files[f"{folder}/.wh.{name}".lstrip("/")] = b""
            hidden += [path, f"{path}/"]
        elif what == "made":
            files[f"{path}/"] = None
        elif folder:
            files[f"{folder}/.wh..wh..opq"] = b""
            hidden.append(f"{folder}/")
    for below in list(model):
        if any(below == one or (one.endswith("/") and below.startswith(one)) for one in hidden):
            del model[below]
    model.update(written)
    return tar(files)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_ENTRY, max_size=5), min_size=1, max_size=4))
def test_the_files_of_an_image_are_its_layers_applied_in_order(
    stack: list[list[tuple[str, bytes | str]]],
) -> None:
    model: dict[str, bytes] = {}
    layers = [put_layer(entries, model) for entries in stack]
    with TemporaryDirectory() as directory:
        cache = Cache(Path(directory), lock_timeout=60)
        image = add(cache, layers)
        into = io.BytesIO()
        flatten(cache.blobs, image.descriptors[0], into)
    into.seek(0)
    with tarfile.open(fileobj=into) as out:
        names = [entry.name for entry in out if entry.isreg()]
        found = {name: out.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert found == model
    assert len(names) == len(found)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.dictionaries(st.text("abc/", min_size=1, max_size=4), st.binary(max_size=2000)), min_size=1)
)
def test_an_image_survives_export_and_import_bit_for_bit(stack: list[dict[str, bytes]]) -> None:
    name = Reference.parse("linuxkit/foo:1")
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        cache, other = Cache(Path(one), lock_timeout=60), Cache(Path(two), lock_timeout=60)
        root = add(cache, [tar(dict(files)) for files in stack]).descriptors[0]
        data = b"".join(archive(cache.blobs, root, [name]))
        names = names_for(load(other.blobs, io.BytesIO(data)))
        other.change(lambda _: dict(names))
        assert names[str(name)].digest == root.digest
        assert verify(other) == []
        assert b"".join(archive(other.blobs, root, [name])) == data
