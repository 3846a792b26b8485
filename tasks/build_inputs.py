"""What a policy lets an order put into a build, beyond what the context itself says."""

from __future__ import annotations

import posixpath
import re
import tarfile
from typing import IO, TYPE_CHECKING

from farm.errors import BuildYmlError, ContextError, InputError, PolicyError
from farm.package import dockerfile
from farm.syntax.yaml_fields import load
from farm.trust.policy import matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.model import Job
    from farm.trust.policy import Policy

_STANDARD = ("SOURCE", "REVISION", "GOPKGVERSION", "PKG_HASH", "PKG_IMAGE", "SOURCE_DATE_EPOCH")
"""The build arguments of every package."""
_SYNTAX_ARGUMENT = "BUILDKIT_SYNTAX"
# https://github.com/moby/buildkit/blob/v0.20.0/frontend/dockerfile/parser/directives.go (DetectSyntax)
_DIRECTIVE = re.compile(r"(?:#|//)\s*([A-Za-z][\w-]*)\s*=\s*(.+)")
_MOST_LINKS = 40
"""As in Linux."""
_LARGEST = 1 << 20
"""Bytes of a build.yml or Dockerfile that are read."""


def refuse_inputs(tar: IO[bytes], job: Job, policy: Policy) -> bytes:
    """Refuse build arguments and frontends that the policy does not allow; return the Dockerfile.

    Two files of the context are read.

    Raises:
        PolicyError: it does not allow one of them.
        ContextError: a file is too large.
    """
    name = _real_name(tar, job.dockerfile)
    files = _files(tar, {job.build_yml, name})
    text = files.get(name, b"")
    own = tuple(_own_arguments(job.build_yml, files.get(job.build_yml, b"")))
    added = [name for name, _ in job.build_args if name not in _STANDARD and not matches(name, own)]
    if refused := policy.refused_build_arguments(name for name in added if name != _SYNTAX_ARGUMENT):
        raise PolicyError(
            f"the policy does not allow to set the build arguments {', '.join(refused)}",
            hint="add them to `build-arguments` of the policy, or to buildArgs of the package's build.yml",
        )
    frontends = [value for name, value in job.build_args if name == _SYNTAX_ARGUMENT]
    for frontend in [*frontends, *_directives(text)]:
        if policy.refused_frontend(frontend):
            raise PolicyError(
                f"the policy does not allow the frontend {frontend!r}",
                hint="add it to `frontends` of the policy",
            )
    return text


def is_from_scratch(text: bytes, job: Job) -> bool:
    """Whether an image has no layers of a base image, according to its Dockerfile."""
    try:
        return dockerfile.is_from_scratch(text.decode("utf-8", "replace"), dict(job.build_args))
    except InputError:
        # It is too long to be read here.
        return False


def _files(tar: IO[bytes], names: set[str]) -> dict[str, bytes]:
    """The regular files of these names in a verified context."""
    found = {}
    tar.seek(0)
    with tarfile.open(fileobj=tar, mode="r:") as archive:
        for entry in archive:
            if entry.name in names and entry.isreg():
                if entry.size > _LARGEST:
                    raise ContextError(f"{entry.name} has {entry.size} bytes, more than {_LARGEST}")
                content = archive.extractfile(entry)
                found[entry.name] = content.read() if content else b""
    tar.seek(0)
    return found


def _own_arguments(name: str, text: bytes) -> Iterator[str]:
    """Globs of the names that a build.yml sets; % is replaced by the name of a package."""
    try:
        field = load(name, text, first=True).entries().get("buildArgs")
        yield from (
            item.text().partition("=")[0].replace("%", "*") for item in (field.items() if field else ())
        )
    except BuildYmlError:
        # What cannot be read sets nothing; the maintainer's own reading has refused it.
        return


def _real_name(tar: IO[bytes], name: str) -> str:
    """The file that the builder reads for the Dockerfile of this name: it follows links within the context.

    It takes `dockerfile` where there is no `Dockerfile`.
    """
    links: dict[str, str] = {}
    names: set[str] = set()
    tar.seek(0)
    with tarfile.open(fileobj=tar, mode="r:") as archive:
        for entry in archive:
            names.add(entry.name)
            if entry.issym():
                links[entry.name] = entry.linkname
    tar.seek(0)
    head, tail = posixpath.split(posixpath.normpath(name).lstrip("/"))
    real = _followed(posixpath.join(head, tail), links)
    return real if real in names else _followed(posixpath.join(head, tail.lower()), links)


def _followed(name: str, links: Mapping[str, str]) -> str:
    for _ in range(_MOST_LINKS):
        above = (name[: at.start()] for at in re.finditer("/|$", name))
        link = next((place for place in above if place in links), None)
        if link is None:
            return name
        target = posixpath.join("/", posixpath.dirname(link), links[link]) + name[len(link) :]
        name = posixpath.normpath(target).lstrip("/")
    raise ContextError(f"the Dockerfile {name} is behind more than {_MOST_LINKS} links")


def _directives(dockerfile: bytes) -> Iterator[str]:
    """The frontend that a Dockerfile names, in any of the ways that the builder looks for.

    They are `# syntax=` and `// syntax=` before the first line that is no directive, and JSON.
    """
    lines = dockerfile.decode("utf-8-sig", "replace").split("\n")
    if lines[0].startswith("#!"):
        del lines[0]
    if "".join(lines).lstrip().startswith("{"):
        yield "a Dockerfile in JSON"
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            return
        if found[1].lower() == "syntax":
            yield found[2]
