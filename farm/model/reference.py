"""References to images: registry, repository, tag, digest.

The grammar of references is docker's: https://github.com/distribution/reference/blob/v0.6.0/reference.go
"""

from __future__ import annotations

import re
from typing import NamedTuple

from farm.errors import InputError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests"""
DEFAULT_REGISTRY = "docker.io"
_ALIASES = {"index.docker.io": DEFAULT_REGISTRY}
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?"


def is_host(word: str) -> bool:
    """Whether docker reads the first part of a name as a registry."""
    return any(mark in word for mark in ".:") or word == "localhost"


class Reference(NamedTuple):
    """An image reference: registry host, repository, and a tag or a digest (or neither)."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @staticmethod
    def parse(text: str) -> Reference:
        """Read a reference as docker does: `alpine` is docker.io/library/alpine."""
        rest, _, digest = text.partition("@")
        host, slash, path = rest.partition("/")
        named = bool(slash) and is_host(host)
        registry, path = (_ALIASES.get(host, host), path) if named else (DEFAULT_REGISTRY, rest)
        path, colon, tag = path.partition(":")
        if registry == DEFAULT_REGISTRY and "/" not in path:
            path = f"library/{path}"
        valid = (
            (registry == DEFAULT_REGISTRY or re.fullmatch(_HOST, registry))
            and _REPOSITORY.fullmatch(path)
            and (not colon or _TAG.fullmatch(tag))
            and ("@" not in text or DIGEST.fullmatch(digest))
        )
        if not valid:
            raise InputError(
                f"invalid image reference {text!r}", hint="write it as [HOST/]NAME[:TAG][@sha256:...]"
            )
        return Reference(registry, path, tag or None, digest or None)

    @property
    def name(self) -> str:
        """Registry and repository, such as docker.io/linuxkit/foo; this is also notary's GUN."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The reference as people write it: without docker.io and library where they are implied."""
        first, *others = self.repository.split("/")
        if self.registry != DEFAULT_REGISTRY or is_host(first):
            return str(self)
        implied = f"{first}/" if first == "library" and len(others) == 1 else ""
        return str(self).removeprefix(f"{DEFAULT_REGISTRY}/{implied}")

    @property
    def short(self) -> str:
        """The familiar reference without its registry, a hash tag cut to 8 digits: linuxkit/foo:ab12cd34."""
        tag = self.tag or ""
        cut = tag[:8] if re.fullmatch(r"[0-9a-f]{40}.*", tag) else tag
        return f"{self.repository}:{cut}" if cut else self.repository

    def or_latest(self) -> Reference:
        """The reference, with the tag `latest` if it has neither tag nor digest."""
        return self if self.tag or self.digest else self.with_tag("latest")

    def with_tag(self, tag: str) -> Reference:
        """The same repository at another tag."""
        return self._replace(tag=tag, digest=None)

    def with_digest(self, digest: str) -> Reference:
        """The same repository, pinned to a digest."""
        return self._replace(tag=None, digest=digest)

    def for_arch(self, arch: str) -> Reference:
        """The architecture tag: NAME:TAG-ARCH."""
        return self.with_tag(f"{self.tag}-{arch}")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"
