"""The flags that every verb of `linuxkit pkg` takes."""

from __future__ import annotations

from typing import Any

import click

from farm.cli.pkg.flag_spelling import LEVEL


def value_flag(name: str, about: str, metavar: str = "VALUE", **more: Any) -> click.Option:
    """A flag with a value."""
    return click.Option([f"--{name}"], help=about, metavar=metavar, **more)


def boolean_flag(name: str, about: str, *short: str) -> click.Option:
    """A boolean flag, which may be given a value: --name, --name=false."""
    return click.Option([f"--{name}", *short], type=click.BOOL, help=about, metavar="[=false]")


def directories_argument() -> click.Argument:
    """The package directories of a verb."""
    return click.Argument(["directories"], nargs=-1, required=True, metavar="DIR...")


COMMON_FLAGS: list[click.Parameter] = [
    value_flag("org", "Organisation; overrides build.yml. [LINUXKIT_PKG_ORG]", "ORG"),
    value_flag("hash", "Use this hash instead of the git tree hash.", "HASH"),
    value_flag("hash-commit", "Take the tree hash at this commit. Default: HEAD.", "COMMIT", default="HEAD"),
    value_flag("hash-path", "Take the tree hash of this directory, which contains the package.", "DIR"),
    value_flag("tag", "Template of the tag; {{.Hash}} is replaced by the hash.", "TEMPLATE"),
    value_flag("build-yml", "Name of the build.yml.", "FILE", default="build.yml"),
    boolean_flag("dev", "Use organisation $USER and tag dev."),
    boolean_flag("force-dirty", "Tag the package as if it had uncommitted changes."),
    boolean_flag("disable-cache", "Ignore the layers of earlier builds; overrides build.yml."),
    boolean_flag("enable-cache", "Use the layers of earlier builds; overrides build.yml."),
    boolean_flag("network", "Run RUN steps with a network; overrides build.yml."),
    boolean_flag("nonetwork", "Run RUN steps without a network; overrides build.yml."),
    boolean_flag("disable-content-trust", "Do not sign."),
    boolean_flag("enable-content-trust", "Sign; overrides build.yml."),
    value_flag("cache", "Directory of the LinuxKit cache. [LINUXKIT_CACHE]", "DIR"),
    value_flag(
        "mirror",
        "Mirror to read from instead of REGISTRY, or of every registry; repeatable. [LINUXKIT_MIRROR]",
        "[REGISTRY=]URL",
        multiple=True,
    ),
    value_flag("cert-file", "CA certificate to trust for every registry; repeatable.", "FILE", multiple=True),
    value_flag(
        "registry-creds",
        "Login that overrides docker's. Visible to other users; better: [FARM_REGISTRY_CREDS_FILE]",
        "REGISTRY=USER:PASSWORD",
        multiple=True,
    ),
    value_flag("hash-dir", "Refused: the farm keeps no hash files.", "DIR"),
    boolean_flag("strict-deps", "Refused: the farm keeps no hash files."),
    boolean_flag("quiet", "No effect: the farm prints little.", "-q"),
    click.Option(
        ["--verbose", "-v"], type=LEVEL, metavar="[N]", help="No effect: `farm logs` prints everything."
    ),
]

_ROOT_NAMES = ("cache", "mirror", "cert_file", "quiet", "verbose")
ROOT_FLAGS = [flag for flag in COMMON_FLAGS if flag.name in _ROOT_NAMES]
"""Those that `linuxkit` also takes before `pkg`."""
