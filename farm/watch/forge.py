"""Forges: where a repository is hosted, with pull requests, protected branches and commit statuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from farm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from farm.settings import Secret
    from farm.watch.heads import Head, Status

_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+):(?P<path>[^/].*)")
"""USER@HOST:PATH, which git takes for ssh."""


class ForgeKind(StrEnum):
    """The forges that the farm knows."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    """Gitea or Forgejo."""


class Forge(Protocol):
    """One project on a forge.

    Every method raises ForgeUnavailableError if the forge cannot be reached or cannot answer now,
    ForgeDeniedError if it refuses the token, and ForgeError for any other answer.
    """

    def is_protected(self, branch: str) -> bool:
        """Whether the forge limits who may push to a branch."""

    def pull_requests(self, branches: Collection[str]) -> Sequence[Head]:
        """The open pull requests to these branches."""

    def report(self, head: Head, status: Status) -> None:
        """Give a head's commit the farm's status, in place of the one that it has."""


@dataclass(frozen=True, slots=True)
class Project:
    """Where a project is: its forge and its path there."""

    url: str
    """Of the forge, such as https://git.example.org."""
    path: str
    """Such as linuxkit/linuxkit."""

    @staticmethod
    def of(repository: str, url: str | None = None) -> Project:
        """The project of a git URL; `url` is the forge's, if it is not at the same host over https.

        Raises:
            InputError: the URL does not name a host and a path.
        """
        scp = _SCP.fullmatch(repository) if "://" not in repository else None
        parts = urlsplit(repository)
        host = scp["host"] if scp else parts.hostname or ""
        path = (scp["path"] if scp else parts.path).strip("/").removesuffix(".git")
        if not (host or url) or "/" not in path:
            raise InputError(
                f"{repository}: does not say which project of which forge it is",
                hint="name it as https://HOST/OWNER/NAME",
            )
        if parts.scheme in ("http", "https"):
            own = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
        else:
            own = f"https://{host}"
        return Project((url or own).rstrip("/"), path)


_KNOWN = {"github.com": ForgeKind.GITHUB, "gitlab.com": ForgeKind.GITLAB, "codeberg.org": ForgeKind.GITEA}


def kind_of(project: Project) -> ForgeKind | None:
    """The kind of a well-known forge; None for others."""
    return _KNOWN.get(urlsplit(project.url).hostname or "")


def make_forge(kind: ForgeKind, project: Project, token: Secret | None) -> Forge:
    """The client of a project's forge."""
    from farm.watch.github import GitHub  # noqa: PLC0415 - only a watch needs an HTTP client
    from farm.watch.gitlab import GitLab  # noqa: PLC0415

    if kind is ForgeKind.GITLAB:
        return GitLab(project, token)
    return GitHub(project, token, is_gitea=kind is ForgeKind.GITEA)
