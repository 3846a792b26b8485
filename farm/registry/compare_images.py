"""In what two images differ: their layers, the files in them, and their configurations."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import RegistryError
from farm.model import digest_from_hex
from farm.registry.blobs import stream_blob
from farm.registry.client import digest_mismatch
from farm.registry.layer_files import read_files
from farm.registry.oci import ImageManifest, naming

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry
    from farm.registry.layer_files import LayerFile

MOST_FILES = 1000
"""Files of a layer that are named."""
_LARGEST_CONFIG = 4 << 20
_DEEPEST = 32
_SHOWN = 100
"""Characters of a value."""


class FileDifference(NamedTuple):
    """A file that only one of two layers has, or that differs between them."""

    path: str
    """Without control characters."""
    change: str
    """added, removed or changed, from the first layer to the second."""
    what: tuple[str, ...] = ()
    """The properties that changed."""


class FieldDifference(NamedTuple):
    """A field of the configuration that differs, as JSON; "" where an image does not have it."""

    name: str
    first: str
    second: str


class LayerDifference(NamedTuple):
    """A layer, counted from 1, that differs."""

    number: int
    first: str
    """Its digest in the first image; "" if that has fewer layers."""
    second: str
    files: tuple[FileDifference, ...] = ()
    more: bool = False
    """Whether more files differ than are named."""
    note: str = ""
    """Why no file is named."""


@dataclass(frozen=True, slots=True)
class ImageDifferences:
    """In what two images differ; nothing for the same image."""

    layers: tuple[LayerDifference, ...] = ()
    config: tuple[FieldDifference, ...] = ()
    note: str = ""
    """What differs beside both."""

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        layers = [
            layer._asdict() | {"files": [one._asdict() for one in layer.files]} for layer in self.layers
        ]
        return {"layers": layers, "config": [one._asdict() for one in self.config], "note": self.note}

    def lines(self, most: int) -> Iterator[str]:
        """The differences for people, of each layer at most so many files."""
        for layer in self.layers:
            yield f"layer {layer.number}: {layer.first or 'missing'} -> {layer.second or 'missing'}"
            if layer.note:
                yield f"  {layer.note}"
            for file in layer.files[:most]:
                yield f"  {file.change} {file.path}{': ' if file.what else ''}{', '.join(file.what)}"
            if layer.more or len(layer.files) > most:
                yield "  and more files"
        for field in self.config:
            yield f"config: {field.name}: {field.first or 'missing'} -> {field.second or 'missing'}"
        if self.note:
            yield self.note


def compare_images(registry: Registry, reference: Reference, first: str, second: str) -> ImageDifferences:
    """In what two images of one repository differ, by the digests of their manifests.

    Raises:
        RegistryError: one of them is not there, or is no image.
    """
    if first == second:
        return ImageDifferences()
    manifests = []
    for digest in (first, second):
        pinned = reference.with_digest(digest)
        with naming(pinned):
            manifests.append(ImageManifest.parse(registry.existing(pinned).body))
    one, other = manifests
    layers = tuple(
        _compare_layer(registry, reference, number, *pair)
        for number, pair in enumerate(zip_longest(one.layers, other.layers), 1)
        if not pair[0] or not pair[1] or pair[0].digest != pair[1].digest
    )
    config = compare_configs(*(_config(registry, reference, each) for each in manifests))
    note = "" if layers or config else "only the manifests differ: media types or annotations"
    return ImageDifferences(layers, config, note)


def _config(registry: Registry, reference: Reference, manifest: ImageManifest) -> bytes:
    if manifest.config is None or manifest.config.size > _LARGEST_CONFIG:
        raise RegistryError(f"{reference.familiar}: an image has no configuration, or a huge one")
    return registry.blob(reference, manifest.config.digest)


def _compare_layer(
    registry: Registry, reference: Reference, number: int, one: Descriptor | None, other: Descriptor | None
) -> LayerDifference:
    if one is None or other is None:
        return LayerDifference(number, one.digest if one else "", other.digest if other else "")
    with (
        closing(_verified(registry, reference, one)) as first,
        closing(_verified(registry, reference, other)) as second,
    ):
        try:
            files, more = compare_files(read_files(first), read_files(second))
        except RegistryError as error:
            if type(error) is not RegistryError:
                raise
            return LayerDifference(number, one.digest, other.digest, note=error.message)
    note = "" if files or more else "the same files, in another order or compressed in another way"
    return LayerDifference(number, one.digest, other.digest, files, more, note)


def _verified(registry: Registry, reference: Reference, blob: Descriptor) -> Generator[bytes, None, None]:
    """The bytes of a blob as they arrive; RegistryDamagedError at their end if they are others."""
    summary = hashlib.sha256()
    for piece in stream_blob(registry, reference, blob):
        summary.update(piece)
        yield piece
    if (actual := digest_from_hex(summary.hexdigest())) != blob.digest:
        raise digest_mismatch(reference, blob.digest, actual)


def compare_files(
    first: Iterable[LayerFile], second: Iterable[LayerFile], most: int = MOST_FILES
) -> tuple[tuple[FileDifference, ...], bool]:
    """The files in which two layers differ, by path, and whether there are more of them.

    Both are read at the same time. What is remembered are the files that were found in one of them only:
    none, where layers have the same files in one order; when there are too many, the rest is not read.
    """
    waiting: tuple[dict[str, LayerFile], dict[str, LayerFile]] = ({}, {})
    found: list[FileDifference] = []
    for pair in zip_longest(first, second):
        for side, file in enumerate(pair):
            if file is None:
                continue
            match = waiting[1 - side].pop(file.path, None)
            if match is None:
                waiting[side][file.path] = file
            elif what := file.changed(match):
                found.append(FileDifference(_printable(file.path), "changed", what))
        if len(found) + sum(map(len, waiting)) > most:
            return tuple(sorted(found)), True
    removed, added = (
        [FileDifference(_printable(path), change) for path in files]
        for change, files in zip(("removed", "added"), waiting, strict=True)
    )
    return tuple(sorted([*found, *removed, *added])), False


def compare_configs(first: bytes, second: bytes) -> tuple[FieldDifference, ...]:
    """The fields in which two configurations differ, but for the digests of the layers."""
    one, other = (dict(_fields(_read(body), "", _DEEPEST)) for body in (first, second))
    names = [name for name in dict.fromkeys((*one, *other)) if not name.startswith("rootfs.")]
    return tuple(
        FieldDifference(_printable(name), one.get(name, ""), other.get(name, ""))
        for name in names
        if one.get(name) != other.get(name)
    )


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RegistryError("the configuration of an image is not JSON") from error


def _fields(value: Any, name: str, levels: int) -> Iterator[tuple[str, str]]:
    """Every value in JSON with its place, such as config.Labels.a; what is nested too deeply is left out."""
    if levels and isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key}" if name else key, levels - 1)
    elif levels and isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _fields(inner, f"{name}[{number}]", levels - 1)
    elif levels:
        yield name, _printable(json.dumps(value))[:_SHOWN]


def _printable(text: str) -> str:
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)
