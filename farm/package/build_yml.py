"""Reading build.yml strictly: every error has its file, line and field.

The fields are linuxkit's: https://github.com/linuxkit/linuxkit/blob/v1.8.2/docs/packages.md
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from farm.errors import BuildYmlError, InputError
from farm.model import ARCHES, UNAME, BuildYml, ExtraSource, Reference
from farm.package.build_args import names_absolute
from farm.package.git import LONGEST, top_of
from farm.package.tags import render_tag
from farm.syntax.yaml_fields import Field, load
from farm.system.regular_files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model import DockerImages

_TEXTS = ("image", "org", "tag", "dockerfile", "gitrepo")
_BOOLEANS = ("network", "disable-content-trust", "disable-cache")
_COLLECTIONS = ("arches", "extra-sources", "buildArgs", "config", "depends")
_IMAGES_FIELDS = ("from-file", "list", "target", "target-dir")


def read_build_yml(directory: Path, name: str = "build.yml", *, within: Path | None = None) -> BuildYml:
    """Read and check the build.yml of a package directory; `name` is a path from there.

    Links lead to files `within` only: the package's repository, or its directory outside git.
    """
    within = within or _surroundings(directory)
    # Linuxkit reads no further than the first document.
    root = load(str(directory / name), _read(directory, name, within), first=True)
    fields = root.fields((*_TEXTS, *_BOOLEANS, *_COLLECTIONS))
    if not fields["image"].text():
        raise fields["image"].wrong("is missing", hint="name the image, such as `image: foo`")
    defaults = BuildYml(image=fields["image"].text())
    return BuildYml(
        image=defaults.image,
        org=_org(fields["org"]) or defaults.org,
        tag=_tag(fields["tag"]) or defaults.tag,
        dockerfile=_path(fields["dockerfile"]) or defaults.dockerfile,
        arches=_arches(fields["arches"]) if fields["arches"].written else None,
        extra_sources=tuple(_extra_source(item) for item in fields["extra-sources"].items()),
        gitrepo=fields["gitrepo"].text() if fields["gitrepo"].given else defaults.gitrepo,
        network=fields["network"].boolean(),
        disable_content_trust=fields["disable-content-trust"].boolean(),
        disable_cache=fields["disable-cache"].boolean(),
        config=_config(fields["config"]) if fields["config"].given else None,
        build_args=tuple(_build_arg(item) for item in fields["buildArgs"].items()),
        depends=_depends(fields["depends"], directory, within),
        file=posixpath.normpath(name),
    )


def _read(directory: Path, name: str, within: Path) -> bytes:
    try:
        # Another file is the user's to name, with --build-yml.
        elsewhere = posixpath.normpath(name).startswith(("/", "../"))
        return read_regular(directory / name, LONGEST, within=None if elsewhere else within)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not directory.exists():
            raise BuildYmlError(f"{directory}: no such directory") from error
        if not directory.is_dir():
            hint = "--all DIR takes every package below DIR"
            raise BuildYmlError(f"{directory}: is a file, not a package directory", hint=hint) from error
        hint = "a package is a directory with a build.yml; --build-yml names another file"
        raise BuildYmlError(f"{directory}: has no {name}", hint=hint) from error
    except OSError as error:
        raise BuildYmlError(f"{directory / name}: cannot be read: {error.strerror}") from error


def _surroundings(directory: Path) -> Path:
    """The repository of a package, or else its directory: a link to a file elsewhere would show that file."""
    own = directory.resolve()
    return top_of(own) or own


def _org(field: Field) -> str:
    if field.given and not field.text():
        raise field.wrong("is empty", hint="leave it out for linuxkit")
    return field.text()


def _path(field: Field) -> str | None:
    return field.path() if field.text() else None


def _tag(field: Field) -> str:
    template = field.text()
    try:
        render_tag(template, "")
    except InputError as error:
        raise field.wrong(error.message, hint=error.hint) from error
    return template


def _arches(field: Field) -> tuple[str, ...]:
    arches: list[str] = []
    for item in field.items():
        arch = item.text()
        if arch not in ARCHES:
            meant = next((name for name, machine in UNAME.items() if machine == arch), None)
            hint = f"did you mean {meant}?" if meant else f"one of {', '.join(ARCHES)}"
            raise item.wrong(f"unknown architecture {arch}", hint=hint)
        if arch in arches:
            raise item.wrong(f"duplicate architecture {arch}")
        arches.append(arch)
    return tuple(arches)


def _extra_source(item: Field) -> ExtraSource:
    src, colon, dst = item.text().partition(":")
    if not src or not colon or not dst or ":" in dst:
        raise item.wrong(f"{item.text()!r} is not SOURCE:DESTINATION", hint="such as ../../common/lib:lib")
    # As linuxkit places it: /lib is lib, and . is the top, beside the package's own files.
    normal = posixpath.normpath(dst).lstrip("/")
    if normal == ".." or normal.startswith("../"):
        raise item.wrong(f"{dst} is outside the build context", hint="such as lib or /vendor/lib")
    return ExtraSource(src, "" if normal == "." else normal)


def _build_arg(item: Field) -> str:
    name, equals, _ = item.text().partition("=")
    if not name or not equals:
        raise item.wrong(f"{item.text()!r} is not NAME=VALUE")
    if names_absolute(item.text()):
        raise item.wrong(f"{item.text()!r} must name a directory relative to the build.yml")
    return item.text()


def _config(field: Field) -> str:
    from farm.package.image_config import image_label  # noqa: PLC0415 - most packages have none

    return image_label(field)


def _depends(field: Field, directory: Path, within: Path) -> DockerImages | None:
    images = field.fields(("docker-images",))["docker-images"]
    if not images.given:
        return None
    fields = images.fields(_IMAGES_FIELDS)
    filled = {name for name, field in fields.items() if (field.items() if name == "list" else field.text())}
    if not filled:
        return None
    for one, other in (("list", "from-file"), ("target", "target-dir")):
        if {one, other} <= filled:
            raise fields[other].wrong(f"{one} and {other} are mutually exclusive", hint="keep one of the two")
    from_file = _path(fields["from-file"])
    target, target_dir = _path(fields["target"]), _path(fields["target-dir"])
    if from_file:
        listed = _images_in_file(fields["from-file"], directory / from_file, within)
    else:
        listed = tuple(_pinned(item, item.text()) for item in fields["list"].items())
    if listed and not target and not target_dir:
        raise images.wrong("target or target-dir must name where the images go")
    from farm.model import DockerImages  # noqa: PLC0415 - most packages have none

    return DockerImages(listed, from_file, target, target_dir)


def _images_in_file(field: Field, file: Path, within: Path) -> tuple[str, ...]:
    try:
        lines = read_regular(file, LONGEST, within=within).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise field.wrong(f"{file} cannot be read: {getattr(error, 'strerror', error)}") from error
    return tuple(
        _pinned(Field(str(file), field.name, None, number), line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )


def _pinned(field: Field, image: str) -> str:
    hint = "write it as NAME@sha256:... or NAME:TAG@sha256:..."
    try:
        digest = Reference.parse(image).digest
    except InputError as error:
        raise field.wrong(error.message, hint=hint) from error
    if not digest:
        raise field.wrong(f"{image} has no digest", hint=hint)
    return image
