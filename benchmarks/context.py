"""The duration of packing a build context, beside `git archive` of the same tree."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING

from benchmarks.measure import Ratio, ratio
from farm.package.pack_context import pack_context
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = 2000
_SIZE = 16 << 10


def rows() -> Iterator[Ratio]:
    """A package of 2000 files of 16 KiB."""
    with TemporaryDirectory(prefix="farm-bench-") as directory:
        top = Path(directory)
        _repository(top)
        package = read_packages([str(top / "package")], TagOptions(org="bench"))[0]

        def farm() -> None:
            with TemporaryFile() as into:
                pack_context(package, into)

        def git_archive() -> None:
            with TemporaryFile() as into:
                subprocess.run(["git", "archive", "HEAD:package"], cwd=top, stdout=into, check=True)

        what = f"packing {_FILES} files of {_SIZE >> 10} KiB, hashed and checked against the tag"
        yield ratio(what, farm, "git archive", git_archive, 1.5)


def _repository(top: Path) -> None:
    numbers = random.Random(1)
    package = top / "package"
    package.mkdir()
    (package / "build.yml").write_text("image: package\n")
    (package / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    for number in range(_FILES):
        (package / f"file{number}").write_bytes(numbers.randbytes(_SIZE))
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "bench"]):
        subprocess.run(["git", *words], cwd=top, check=True)
