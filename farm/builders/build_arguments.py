"""What a package's Dockerfile is told: LinuxKit's build arguments and labels, and the site's proxies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model import Package

Pairs = tuple[tuple[str, str], ...]

PROXIES: tuple[str, ...] = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for spelling in (name, name.upper())
)
"""The variables that BuildKit hands to RUN steps and keeps out of the image's history."""


def proxy_args(environment: Mapping[str, str]) -> Pairs:
    """The proxy variables of an environment as build arguments, as they stand."""
    return tuple((name, environment[name]) for name in PROXIES if name in environment)


def build_args(
    package: Package, site_args: Iterable[tuple[str, str]], commit_time: float | None = None
) -> Pairs:
    """Every build argument of a package: LinuxKit's own, then the site's, then the package's, which win.

    Args:
        package: the package; one with uncommitted changes has no REVISION and no GOPKGVERSION.
        site_args: arguments that the site gives to all packages.
        commit_time: seconds since 1970 at which the commit was made; None leaves GOPKGVERSION out.
    """
    own = (text.partition("=") for text in package.yml.build_args)
    args = _standard(package, commit_time) | dict(site_args) | {name: value for name, _, value in own}
    return tuple(args.items())


def labels(package: Package) -> Pairs:
    """The labels of a package's image: those that LinuxKit sets, its version being the farm's."""
    facts = {
        "org.opencontainers.image.source": package.yml.gitrepo,
        "org.opencontainers.image.revision": _revision(package),
        "org.mobyproject.config": package.yml.config,
        "org.mobyproject.linuxkit.version": __version__,
        "org.mobyproject.linuxkit.revision": "unknown",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _standard(package: Package, commit_time: float | None) -> dict[str, str]:
    revision = _revision(package)
    facts = {
        "SOURCE": package.yml.gitrepo,
        "REVISION": revision,
        "GOPKGVERSION": go_version(revision, commit_time) if revision and commit_time is not None else None,
        "PKG_HASH": package.hash,
        "PKG_IMAGE": package.reference.familiar,
    }
    return {name: value for name, value in facts.items() if value}


def _revision(package: Package) -> str | None:
    return None if package.dirty else package.commit


def go_version(commit: str, commit_time: float) -> str:
    """The pseudo version by which Go names an untagged commit: v0.0.0-20240131235959-0123456789ab."""
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(commit_time))
    return f"v0.0.0-{stamp}-{commit[:12]}"
