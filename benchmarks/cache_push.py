"""The duration of pushing an image from the cache to a registry, beside skopeo."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Row, seconds
from farm.cache.layout import Cache
from farm.cache.named_images import add_images
from farm.model import ArchImage, Platform, Reference
from farm.registry.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from lab.lab import running_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.model import Descriptor

_LAYERS = 5
_SIZE = 50 << 20
"""Bytes of one layer, which cannot be compressed."""
_ROUNDS = 3
_FARM = str(Path(sys.executable).with_name("farm"))


def rows() -> Iterator[Row]:
    """An image of 250 MiB in five layers; a new one each time, of which the registry has nothing."""
    with redirect_stdout(StringIO()), running_lab() as lab:
        cache = Cache(lab.directory / "cache")
        environment = {**os.environ, "FARM_CONFIG": os.devnull, "FARM_CACHE": str(cache.root)}

        def farm(name: Reference) -> list[str]:
            return [_FARM, "cache", "push", str(name)]

        def skopeo(name: Reference) -> list[str]:
            flags = ["--quiet", "--all", "--dest-tls-verify=false"]
            return ["skopeo", "copy", *flags, f"oci:{cache.root}:{name}", f"docker://{name}"]

        def best(command: Callable[[Reference], list[str]]) -> float:
            new = (command(_new_image(cache, lab.registry)) for _ in range(_ROUNDS))
            return min(seconds(partial(_run, words, environment), rounds=1) for words in new)

        times = best(farm), best(skopeo)
    what = f"pushing {_LAYERS} layers of {_SIZE >> 20} MiB from the cache"
    yield Row(what, times[0], "skopeo", times[1])


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=600)


def _new_image(cache: Cache, registry: str) -> Reference:
    """An image of random layers that are not file systems: a registry does not look inside."""
    name = Reference.parse(f"{registry}/bench/n{secrets.token_hex(4)}:1")
    layers = [cache.blobs.put(os.urandom(_SIZE), OCI_LAYER) for _ in range(_LAYERS)]
    config = cache.blobs.put(_json(architecture="amd64", os="linux", rootfs=_rootfs(layers)), OCI_CONFIG)
    body = _json(
        schemaVersion=2,
        mediaType=OCI_MANIFEST,
        config=config.to_json(),
        layers=[layer.to_json() for layer in layers],
    )
    root = replace(cache.blobs.put(body, OCI_MANIFEST), platform=Platform("amd64"))
    add_images(cache, name, [ArchImage("amd64", name.for_arch("amd64"), (root,))])
    return name


def _rootfs(layers: list[Descriptor]) -> dict[str, Any]:
    return {"type": "layers", "diff_ids": [layer.digest for layer in layers]}


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()
