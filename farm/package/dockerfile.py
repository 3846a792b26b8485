"""The base images of packages, and the dependencies between packages that follow from them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.model import Reference
from farm.package.git import read_files
from farm.package.instructions import instructions, substitute, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.model import Package

_FROM_FLAG = re.compile(r"--from=(\S+)")
_MOUNT_FLAG = re.compile(r"--mount=(\S+)")


def images_of(text: str, args: Mapping[str, str]) -> tuple[str, ...]:
    """The base images of a Dockerfile, as it names them, each once.

    These are the images of FROM, COPY --from and RUN --mount=from, without `scratch` and without the
    Dockerfile's own stages. Names of stages are case-insensitive: https://docs.docker.com/reference/dockerfile/#from

    Args:
        text: the Dockerfile.
        args: build arguments. Those that the Dockerfile declares before its first FROM override the defaults;
            only they count in a FROM: https://docs.docker.com/reference/dockerfile/#understand-how-arg-and-from-interact
    """
    known: dict[str, str] = {}
    stages: list[str] = []
    images: dict[str, None] = {}
    for name, value in instructions(text):
        named: list[str] = []
        if name == "ARG" and not stages:
            known.update(_declared(value, args, known))
        elif name == "FROM":
            image, stage = _from(value, known)
            named = [image]
        elif name in ("COPY", "ADD", "RUN"):
            named = list(_copied_from(value, len(stages)))
        images.update(
            dict.fromkeys(image for image in named if image.lower() not in ("", "scratch", *stages))
        )
        if name == "FROM":
            stages.append(stage)
    return tuple(images)


def _declared(value: str, args: Mapping[str, str], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for word in words(value):
        name, equals, default = word.partition("=")
        if name in args:
            yield name, args[name]
        elif equals:
            yield name, substitute(default, known)


def _from(value: str, known: Mapping[str, str]) -> tuple[str, str]:
    """The image of a FROM, and the lower-case name of its stage ("" for one without)."""
    parts = [word for word in words(value) if not word.startswith("--")]
    image = substitute(parts[0], known) if parts else ""
    named = parts[1:2] and parts[1].lower() == "as" and parts[2:]
    return image, parts[2].lower() if named else ""


def _copied_from(value: str, stages: int) -> Iterator[str]:
    """The images and named stages of `--from` and `--mount=...,from=`; stages may also be numbers."""
    mounts = [option for mount in _MOUNT_FLAG.findall(value) for option in mount.split(",")]
    named = [option.removeprefix("from=") for option in mounts if option.startswith("from=")]
    for image in (*_FROM_FLAG.findall(value), *named):
        is_number = image.isdigit() and int(image) < stages
        if not is_number:
            yield image


def needs(packages: Sequence[Package], args: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Package name to its dependencies: the packages whose image, with its current tag, is a base image.

    Args:
        packages: what is submitted together.
        args: build arguments of the settings; those of a package override them.

    Raises:
        InputError: a package has no Dockerfile.
        GitError: git cannot read one.
    """
    makers = {package.reference: package.image for package in packages}
    return {
        package.image: tuple(
            dict.fromkeys(
                makers[image] for image in images if image in makers and makers[image] != package.image
            )
        )
        for package, images in _base_images(packages, args)
    }


def stale_needs(packages: Sequence[Package], args: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings about base images that are packages of this push, but with a tag that it does not make.

    Raises:
        InputError: a package has no Dockerfile.
        GitError: git cannot read one.
    """
    makers = {package.reference.name: package for package in packages}
    return tuple(
        f"{package.image}: its base image is {image.familiar}, but this push makes "
        f"{makers[image.name].reference.familiar}"
        for package, images in _base_images(packages, args)
        for image in images
        if image.name in makers
        and makers[image.name] is not package
        and image != makers[image.name].reference
    )


def _base_images(
    packages: Sequence[Package], args: Mapping[str, str]
) -> Iterator[tuple[Package, tuple[Reference, ...]]]:
    texts = _dockerfiles(packages)
    for package in packages:
        own = (text.partition("=") for text in package.yml.build_args)
        known = {**args, **{name: value for name, _, value in own}}
        references = map(_reference, images_of(texts[package.image], known))
        yield package, tuple(reference for reference in references if reference)


def _reference(image: str) -> Reference | None:
    """The reference of an image; None for a name that is not a valid reference."""
    try:
        return Reference.parse(image)
    except InputError:
        return None


def _dockerfiles(packages: Sequence[Package]) -> dict[str, str]:
    """Each package's Dockerfile: as committed, or from the working directory if the package is dirty."""
    commits: dict[tuple[str, str], dict[str, Package]] = {}
    texts: dict[str, str] = {}
    for package in packages:
        if package.commit and not package.dirty:
            path = posixpath.join(package.trees[0].path, package.yml.dockerfile)
            commits.setdefault((package.repository, package.commit), {})[path] = package
        else:
            texts[package.image] = _working_dockerfile(package)
    for (top, commit), paths in commits.items():
        found = read_files(top, commit, tuple(paths))
        for path, package in paths.items():
            if path not in found:
                raise _missing(package)
            texts[package.image] = found[path].decode(errors="replace")
    return texts


def _working_dockerfile(package: Package) -> str:
    try:
        return (Path(package.directory) / package.yml.dockerfile).read_text(errors="replace")
    except OSError as error:
        raise _missing(package) from error


def _missing(package: Package) -> InputError:
    return InputError(
        f"{package.directory}: has no {package.yml.dockerfile}", hint="build.yml's `dockerfile` names another"
    )
