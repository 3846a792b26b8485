"""Build what a pull request changes, on this machine: nothing is published, and there is no secret.

What it changes are the packages whose tags its base branch does not have. No registry is asked for that, so
that a pull request makes the watch connect to nothing.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from farm.errors import FarmError, InputError, RunInterruptedError
from farm.settings import environment
from farm.syntax.setting_types import without_login
from farm.system.files import temporary_directory
from farm.watch.farm_commands import FarmCommands
from farm.watch.heads import Outcome, Status
from farm.watch.publish_branch import in_one_line, is_final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from farm.settings import Settings
    from farm.watch.children import Children

_TAGS_TIMEOUT, _MARGIN = 600.0, 600.0
_BECAUSE = "its dependency "
"""How the error of a package begins that failed only because another one did."""
_NO_PACKAGE = "no package found below"
_SETTINGS = (
    "org",
    "arches",
    "engine",
    "engine_certs",
    "insecure_registries",
    "registry_certs",
    "registry_ca",
    "mirrors",
    "emulate",
    "build_timeout",
    "http_timeout",
)
"""The settings that such a build has: names, engine and registries. No login, and no build argument."""
_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "NO_PROXY", "no_proxy")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""BuildKit shows them to each step, so their logins are left out."""


@contextmanager
def commands_without_secrets(
    children: Children, directory: Path, settings: Settings
) -> Iterator[FarmCommands]:
    """Commands of the farm that know only what it takes to build; their files are deleted at the end."""
    with temporary_directory(directory, prefix="build-") as home:
        own = home / "farm"
        own.mkdir()
        values = {name.replace("_", "-"): _plain(getattr(settings, name)) for name in _SETTINGS}
        given = {name: value for name, value in values.items() if value not in (None, [], {})}
        (own / "farm.yml").write_text(yaml.safe_dump(given | {"cache": str(home / "cache")}))
        yield FarmCommands(children, _variables(home), home)


def build(
    commands: FarmCommands, paths: Sequence[str], base: Sequence[str], options: Sequence[str], timeout: float
) -> Status:
    """Build the packages below some directories that are none of those below `base`; returns the outcome.

    The images are in a LinuxKit cache of their own, which is deleted: what a pull request built never
    becomes a base or an image of somebody else.

    Args:
        commands: runs `farm`.
        paths: the directories, of the pull request.
        base: the directories, of the branch that it is to.
        options: of `farm build`: none, or --platforms and those.
        timeout: seconds that one package may take on one platform.

    Raises:
        RunInterruptedError: the build failed by what may pass; a broken package is an outcome.
        FarmError: it could not be begun.
    """
    known = {reference for reference, _ in _tags(commands, base, optional=True)}
    changed = [directory for reference, directory in _tags(commands, paths) if reference not in known]
    if not changed:
        return Status(Outcome.SUCCESS, "no package changes")
    platforms = options[1].count(",") + 1 if options else 1
    limit = timeout * len(changed) * platforms + _MARGIN
    built = commands.run("build", *options, *changed, timeout=limit)
    failed = [
        (one["package"], FarmError.from_json(one["error"]))
        for one in built
        if one.get("error") and not one["error"]["message"].startswith(_BECAUSE)
    ]
    if failed:
        text = in_one_line([f"{name}: {error.message}" for name, error in failed])
        if not any(is_final(error) for _, error in failed):
            raise RunInterruptedError(text)
        return Status(Outcome.FAILURE, text)
    return Status(Outcome.SUCCESS, f"packages built, not published: {len(changed)}")


def _tags(commands: FarmCommands, paths: Sequence[str], *, optional: bool = False) -> list[tuple[str, str]]:
    """NAME:TAG and directory of each package below some directories; none for an `optional` broken tree."""
    if not paths:
        return []
    try:
        found = commands.run("show-tag", "--all", *paths, timeout=_TAGS_TIMEOUT)
    except InputError as error:
        if optional or _NO_PACKAGE in error.message:
            return []
        raise
    return [(one["reference"], one["directory"]) for one in found]


def _variables(home: Path) -> Mapping[str, str]:
    """The whole environment of the commands."""
    proxies = {name: without_login(value) for name, value in environment(_PROXIES).items()}
    return (
        environment(_VARIABLES)
        | proxies
        | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "PYTHONUTF8": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
    )


def _plain(value: object) -> object:
    """A setting as farm.yml has it."""
    if isinstance(value, tuple):
        pairs = all(isinstance(one, tuple) for one in value)
        return dict(value) if value and pairs else [str(one) for one in value]
    return str(value) if isinstance(value, os.PathLike) else value
