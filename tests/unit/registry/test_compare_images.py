"""Unit tests of farm.registry.compare_images and farm.registry.layer_files."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import RegistryError
from farm.registry.compare_images import FileDifference, ImageDifferences, compare_configs, compare_files
from farm.registry.layer_files import read_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def layer(*entries: tuple[str, bytes, dict[str, Any]], form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, body, properties in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            for key, value in properties.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def cut(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def compared(one: bytes, other: bytes, most: int = 1000) -> tuple[tuple[FileDifference, ...], bool]:
    return compare_files(read_files(cut(one)), read_files(cut(other)), most)


ENTRIES: tuple[tuple[str, bytes, dict[str, Any]], ...] = (("a", b"1", {}), ("b", b"2", {}), ("c", b"3", {}))
A, B, C = ENTRIES


def test_equal_layers_differ_in_no_file_however_they_are_packed() -> None:
    plain = layer(A, B)
    for other in (
        plain,
        layer(B, A),
        gzip.compress(plain),
        gzip.compress(plain[:700]) + gzip.compress(plain[700:]),
    ):
        assert compared(plain, other) == ((), False)


def test_files_that_only_one_layer_has_are_named() -> None:
    assert compared(layer(A, B), layer(B, C))[0] == (
        FileDifference("a", "removed"),
        FileDifference("c", "added"),
    )


@pytest.mark.parametrize(
    ("what", "entry"),
    [
        ("content", ("a", b"9", {})),
        ("mode", ("a", b"1", {"mode": 0o4755})),
        ("owner", ("a", b"1", {"uid": 1})),
        ("owner", ("a", b"1", {"gname": "adm"})),
        ("time", ("a", b"1", {"mtime": 7})),
        ("attributes", ("a", b"1", {"pax_headers": {"SCHILY.xattr.security.capability": "x"}})),
    ],
)
def test_what_of_a_file_changed_is_named(what: str, entry: tuple[str, bytes, dict[str, Any]]) -> None:
    assert compared(layer(A, B), layer(entry, B))[0] == (FileDifference("a", "changed", (what,)),)


def test_a_link_that_leads_elsewhere_and_another_type_are_named() -> None:
    link = {"type": tarfile.SYMTYPE, "linkname": "b"}
    one = layer(("a", b"", link))
    assert compared(one, layer(("a", b"", link | {"linkname": "c"})))[0][0].what == ("link",)
    assert "type" in compared(one, layer(("a", b"", {})))[0][0].what


def test_after_too_many_differences_the_rest_is_not_read() -> None:
    def endless(first: str) -> Iterator[Any]:
        yield from read_files(cut(layer(*((f"{first}{number}", b"", {}) for number in range(50)))))
        pytest.fail("it was read to its end")

    assert compare_files(endless("a"), endless("b"), 20) == ((), True)


def test_a_name_with_control_characters_is_escaped() -> None:
    ((found,), _) = compared(layer(), layer(("\x1b[31m\udcff", b"", {}), form=tarfile.GNU_FORMAT))
    assert found == FileDifference("\\x1b[31m\\xff", "added")


def large(sizes: int) -> Iterator[bytes]:
    """A layer of one file of that many MiB, compressed."""
    entry = tarfile.TarInfo("large")
    entry.size = sizes << 20
    packer = zlib.compressobj(wbits=31)
    yield packer.compress(entry.tobuf())
    for _ in range(sizes):
        yield packer.compress(bytes(1 << 20))
    yield packer.compress(bytes(1024)) + packer.flush()


def test_memory_does_not_depend_on_the_size_of_a_layer() -> None:
    whole = b"".join(large(200))
    tracemalloc.start()
    try:
        assert compare_files(read_files([whole]), read_files(cut(whole))) == ((), False)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def header(**properties: Any) -> bytes:
    entry = tarfile.TarInfo("x")
    for key, value in properties.items():
        setattr(entry, key, value)
    return entry.tobuf()


@pytest.mark.parametrize(
    "damaged",
    [
        [b"no tar at all" * 100],
        [gzip.compress(layer(A))[:-9]],
        [gzip.compress(layer(A)) + b"\x1f\x8bgarbage"],
        [b"\x28\xb5\x2f\xfd of zstd"],
        [layer(("a", b"1" * 5000, {}))[:3000]],
        [header(type=tarfile.XHDTYPE, size=1 << 30), bytes(1 << 20)],
        [header(type=tarfile.GNUTYPE_LONGNAME, size=1 << 30)],
        [header(type=tarfile.XHDTYPE, size=0) * 5000],
    ],
    ids=["text", "short", "garbage", "zstd", "short-tar", "huge-header", "long-name", "nested"],
)
def test_a_layer_that_cannot_be_read_is_an_error(damaged: Iterable[bytes]) -> None:
    with pytest.raises(RegistryError, match="a layer "):
        list(read_files(damaged))


def test_the_fields_of_a_configuration_that_differ_are_named_with_both_values() -> None:
    one = {"created": "1", "config": {"Env": ["A=1"], "Labels": None}, "rootfs": {"diff_ids": ["x"]}}
    other = {"created": "2", "config": {"Env": ["A=1", "B"]}, "rootfs": {"diff_ids": ["y"]}}
    assert compare_configs(*(json.dumps(each).encode() for each in (one, other))) == (
        ("created", '"1"', '"2"'),
        ("config.Labels", "null", ""),
        ("config.Env[1]", "", '"B"'),
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff"])
def test_a_configuration_that_is_not_json_is_an_error(body: bytes) -> None:
    with pytest.raises(RegistryError, match="not JSON"):
        compare_configs(b"{}", body)


def test_the_same_image_has_no_differences_to_print() -> None:
    assert list(ImageDifferences().lines(9)) == []
