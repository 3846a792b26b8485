"""Build arguments and labels of a package: LinuxKit's own, those of the settings, and proxies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model import Package

Pairs = tuple[tuple[str, str], ...]

PACKAGE_LABEL = "org.mobyproject.linuxkit.version"
"""A label that every image of a LinuxKit package has."""
EPOCH = "SOURCE_DATE_EPOCH"
"""The build argument with the time that an image's times are set to: the same content gives the same bytes.

https://github.com/moby/buildkit/blob/master/docs/build-repro.md#source_date_epoch
"""
PROXIES: tuple[str, ...] = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for spelling in (name, name.upper())
)
"""The variables that BuildKit passes to RUN steps and keeps out of the image's history.

https://docs.docker.com/reference/dockerfile/#predefined-args
"""


def proxy_args(environment: Mapping[str, str]) -> Pairs:
    """The proxy variables of an environment as build arguments, unchanged."""
    return tuple((name, environment[name]) for name in PROXIES if name in environment)


def build_args(
    package: Package,
    site_args: Iterable[tuple[str, str]],
    commit_time: float | None = None,
    changed: int | None = None,
) -> Pairs:
    """Every build argument of a package: LinuxKit's, the settings' and the package's; the later win.

    `commit_time` is in seconds since 1970; None leaves GOPKGVERSION out. `changed` is the time of the last
    commit that changed the package, which BuildKit takes for all times in the image; None leaves
    SOURCE_DATE_EPOCH out. A package with uncommitted changes has none of these, and no REVISION.
    """
    revision = _revision(package)
    standard = {
        "SOURCE": package.yml.gitrepo,
        "REVISION": revision,
        "GOPKGVERSION": go_version(revision, commit_time) if revision and commit_time is not None else None,
        EPOCH: str(changed) if changed and not package.dirty else None,
        "PKG_HASH": package.hash,
        "PKG_IMAGE": package.image,
    }
    args = {name: value for name, value in standard.items() if value} | dict(site_args)
    args |= {name: value for name, _, value in (text.partition("=") for text in package.yml.build_args)}
    return tuple(args.items())


def labels(package: Package) -> Pairs:
    """The labels that LinuxKit sets on a package's image, with the farm's version as LinuxKit's."""
    values = {
        "org.opencontainers.image.source": package.yml.gitrepo,
        "org.opencontainers.image.revision": _revision(package),
        "org.mobyproject.config": package.yml.config,
        PACKAGE_LABEL: __version__,
        "org.mobyproject.linuxkit.revision": "unknown",
    }
    return tuple((name, value) for name, value in values.items() if value)


def _revision(package: Package) -> str | None:
    return None if package.dirty else package.commit


def go_version(commit: str, commit_time: float) -> str:
    """Go's pseudo-version of an untagged commit, such as v0.0.0-20240131235959-0123456789ab.

    https://go.dev/ref/mod#pseudo-versions
    """
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(commit_time))
    return f"v0.0.0-{stamp}-{commit[:12]}"
