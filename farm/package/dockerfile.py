"""The base images of Dockerfiles, and the dependencies between packages that follow from them.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import platform
import posixpath
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import GitError, InputError, combine
from farm.model import Reference, arch_of_uname
from farm.package.dockerfile_syntax import instructions, json_words, substitute, words_of
from farm.package.git import INCLUDE_IGNORED, LONGEST, ignore_rule, read_files
from farm.package.tags import require_submodules
from farm.system.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.model import Package
    from farm.package.git import GitFiles

_FROM_FLAG = re.compile(r"--from=(\S+)")
_MOUNT_FLAG = re.compile(r"--mount=(\S+)")
_NO_PATH = re.compile(r"[$*?\[\\]|^<<|://|^git@")
"""What a source contains that is not, or not only, one path."""


class BaseImage(NamedTuple):
    """An image that a Dockerfile is built from."""

    reference: Reference
    arch: str | None = None
    """The architecture that --platform names; None for that of the build."""


def images_of(text: str, args: Mapping[str, str]) -> tuple[tuple[str, str | None], ...]:
    """The images of FROM, COPY --from and RUN --mount=from in a Dockerfile, but for `scratch` and own stages.

    Each is a name and the architecture of its --platform, if it has one.

    Names of stages are case-insensitive: https://docs.docker.com/reference/dockerfile/#from
    Only build arguments that are declared before the first FROM count in a FROM:
    https://docs.docker.com/reference/dockerfile/#understand-how-arg-and-from-interact
    """
    known: dict[str, str] = {}
    stages: list[str] = []
    no_images = {"", "scratch"}
    images: list[tuple[str, str | None]] = []
    for name, value in instructions(text):
        named: list[str] = []
        arch = None
        if name == "ARG" and not stages:
            known.update(_declared(value, args, known))
        elif name == "FROM":
            image, arch, stage = _from(value, known)
            named = [image]
        elif name in ("COPY", "ADD", "RUN"):
            named = list(_copied_from(value, len(stages)))
        images += [(image, arch) for image in named if image.lower() not in no_images]
        if name == "FROM":
            stages.append(stage)
            no_images.add(stage)
    return tuple(dict.fromkeys(images))


def is_from_scratch(text: str, args: Mapping[str, str]) -> bool:
    """Whether the last stage of a Dockerfile starts without the layers of an image."""
    known: dict[str, str] = {}
    without_layers = {"scratch"}
    image = ""
    for name, value in instructions(text):
        if name == "ARG" and not image:
            known.update(_declared(value, args, known))
        elif name == "FROM":
            image, _, stage = _from(value, known)
            (without_layers.add if image.lower() in without_layers else without_layers.discard)(stage)
            without_layers.discard("")
    return image.lower() in without_layers


def sources_of(text: str) -> tuple[str, ...]:
    """The files and directories of the build context that COPY, ADD and RUN --mount name.

    Those with a variable or a wildcard are left out.
    """
    sources: list[str] = []
    for name, value in instructions(text):
        if name == "RUN":
            sources += _mounted(value)
        elif name in ("COPY", "ADD") and not _FROM_FLAG.search(value):
            arguments = re.sub(r"^(--\S+\s+)*", "", value)
            words = json_words(arguments) or words_of(arguments)
            sources += words[:-1]
    plain = (posixpath.normpath(source).lstrip("/") for source in sources if not _NO_PATH.search(source))
    return tuple(dict.fromkeys(path for path in plain if not path.startswith("..")))


def _mounted(value: str) -> Iterator[str]:
    for mount in _MOUNT_FLAG.findall(value):
        options = dict(option.partition("=")[::2] for option in mount.split(","))
        if options.get("type", "bind") == "bind" and "from" not in options:
            yield options.get("source") or options.get("src") or "."


def _declared(value: str, args: Mapping[str, str], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for word in words_of(value):
        name, equals, default = word.partition("=")
        if name in args:
            yield name, args[name]
        elif equals:
            yield name, substitute(default, known)


def _from(value: str, known: Mapping[str, str]) -> tuple[str, str | None, str]:
    """The image of a FROM, its architecture, and the lower-case name of its stage ("" for one without)."""
    words = words_of(value)
    parts = [word for word in words if not word.startswith("--")]
    image = substitute(parts[0], known) if parts else ""
    named = parts[1:2] and parts[1].lower() == "as" and parts[2:]
    # https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
    own = {"BUILDPLATFORM": f"linux/{arch_of_uname(platform.machine())}", **known}
    given = [word.removeprefix("--platform=") for word in words if word.startswith("--platform=")]
    arch = substitute(given[0], own).removeprefix("linux/") if given else ""
    return image, arch or None, parts[2].lower() if named else ""


def _copied_from(value: str, stages: int) -> Iterator[str]:
    """The images and named stages of `--from` and `--mount=...,from=`; stages may also be numbers."""
    mounts = [option for mount in _MOUNT_FLAG.findall(value) for option in mount.split(",")]
    named = [option.removeprefix("from=") for option in mounts if option.startswith("from=")]
    for image in (*_FROM_FLAG.findall(value), *named):
        if not (re.fullmatch("[0-9]{1,9}", image) and int(image) < stages):
            yield image


def needs(
    packages: Sequence[Package], bases: Mapping[str, Sequence[BaseImage]]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Package name to its dependencies, and warnings; `bases` are by package name.

    A dependency is a package whose image, with its current tag, is a base image. A base image with another
    tag of a package gives a warning: this push does not make it.
    """
    makers = {package.reference: package for package in packages}
    by_name = {package.reference.name: package for package in packages}
    dependencies: dict[str, tuple[str, ...]] = {}
    warnings: list[str] = []
    for package in packages:
        images = dict.fromkeys(base.reference for base in bases[package.image])
        made = [makers[image].image for image in images if image in makers]
        dependencies[package.image] = tuple(dict.fromkeys(name for name in made if name != package.image))
        warnings += (
            f"{package.image}: its base image is {image.familiar}, but this push makes "
            f"{by_name[image.name].reference.familiar}"
            for image in images
            if by_name.get(image.name, package) is not package and image != by_name[image.name].reference
        )
    return dependencies, tuple(warnings)


def base_images(
    packages: Sequence[Package], args: Mapping[str, str], texts: Mapping[str, str]
) -> dict[str, tuple[BaseImage, ...]]:
    """Package name to its base images; `texts` are those of `dockerfiles`.

    A package's build arguments override `args`.
    """
    found: dict[str, tuple[BaseImage, ...]] = {}
    for package in packages:
        own = (text.partition("=") for text in package.yml.build_args)
        known = {**args, **{name: value for name, _, value in own}}
        images: list[BaseImage] = []
        with reading(package):
            named = images_of(texts[package.image], known)
        for name, arch in named:
            with suppress(InputError):  # not a valid reference, so not one of a package
                images.append(BaseImage(Reference.parse(name).or_latest(), arch))
        found[package.image] = tuple(images)
    return found


@contextmanager
def reading(package: Package) -> Iterator[None]:
    """Name the package in the error of a Dockerfile that is too large to be read."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{package.directory}: {error.message}") from error


def dockerfiles(packages: Sequence[Package]) -> dict[str, str]:
    """The text of each package's Dockerfile: as committed, or from the working directory if it is dirty.

    Raises:
        InputError: packages have none, or one that is outside their build contexts.
    """
    texts, errors = read_dockerfiles(packages)
    if errors:
        raise combine(errors)
    return texts


def read_dockerfiles(packages: Sequence[Package]) -> tuple[dict[str, str], list[InputError]]:
    """The texts of the Dockerfiles that can be read, as by `dockerfiles`, and the errors of the others."""
    names: dict[str, list[str]] = {}
    for package in packages:
        if package.commit and not package.dirty:
            for top, name in _names_in_git(package):
                names.setdefault(top, []).append(name)
    files = {top: read_files(top, wanted, LONGEST) for top, wanted in names.items()}
    texts: dict[str, str] = {}
    errors: list[InputError] = []
    for package in packages:
        try:
            committed = package.commit and not package.dirty
            texts[package.image] = _committed(package, files) if committed else _uncommitted(package)
        except InputError as error:
            errors.append(error)
    return texts, errors


def _committed(package: Package, files: Mapping[str, GitFiles]) -> str:
    for top, name in _names_in_git(package):
        if name in files[top].links:
            raise _linked_out(package, files[top].links[name])
        if name in files[top].large:
            raise _unreadable(package, f"it has more than {LONGEST} bytes")
        if name in files[top].contents:
            return files[top].contents[name].decode(errors="replace")
    require_submodules(package)  # it may be in one of them
    raise _missing(package)


def _names_in_git(package: Package) -> list[tuple[str, str]]:
    """The repository and TREE:PATH of the Dockerfile in each part of the context that may have it."""
    path = package.yml.dockerfile
    within = [
        part for part in package.parts if part.tree and (not part.dst or path.startswith(f"{part.dst}/"))
    ]
    return [
        (part.repository or package.repository, f"{part.tree}:{path.removeprefix(part.dst).lstrip('/')}")
        for part in sorted(within, key=lambda part: len(part.dst), reverse=True)
    ]


def _uncommitted(package: Package) -> str:
    top, name = Path(package.directory).resolve(), package.yml.dockerfile
    places = [(top, ""), *(((top / extra.src).resolve(), extra.dst) for extra in package.yml.extra_sources)]
    within = [(place, dst) for place, dst in places if not dst or name.startswith(f"{dst}/")]
    for place, dst in sorted(within, key=lambda one: len(one[1]), reverse=True):
        path = place / name.removeprefix(dst).lstrip("/")
        if not path.resolve().is_relative_to(place):
            raise _linked_out(package, str(path.resolve()))
        try:
            return read_regular(path, LONGEST).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(package, str(error.strerror)) from error
    raise _missing(package)


def _unreadable(package: Package, why: str) -> InputError:
    return InputError(f"{package.directory}: its {package.yml.dockerfile} cannot be read: {why}")


def _linked_out(package: Package, target: str) -> InputError:
    return InputError(
        f"{package.directory}: its {package.yml.dockerfile} is a link to {target}, outside the build context",
        hint="copy the file into the package, or add its directory to extra-sources",
    )


def _missing(package: Package) -> InputError:
    path = Path(package.directory).resolve() / package.yml.dockerfile
    if package.commit and path.exists() and (rule := ignore_rule(path)):
        return GitError(
            f"{package.directory}: git ignores its {package.yml.dockerfile} ({rule}), so it is not built",
            hint=INCLUDE_IGNORED,
        )
    return InputError(
        f"{package.directory}: has no {package.yml.dockerfile}", hint="build.yml's `dockerfile` names another"
    )
