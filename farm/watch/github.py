"""GitHub and Gitea, whose API is the same as far as the farm uses it.

https://docs.github.com/en/rest, https://docs.gitea.com/api/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from farm.watch.forge_client import ForgeClient
from farm.watch.heads import COMMIT, Head

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from farm.settings import Secret
    from farm.watch.forge import Project
    from farm.watch.heads import Status


class GitHub:
    """A project on GitHub, GitHub Enterprise, Gitea or Forgejo; see `Forge`."""

    def __init__(self, project: Project, token: Secret | None, *, is_gitea: bool = False) -> None:
        # https://docs.gitea.com/development/api-usage#authentication; GitHub takes this word, too.
        login = {"Authorization": f"token {token.reveal()}"} if token else {}
        self._client = ForgeClient(_api(project.url, is_gitea=is_gitea), login)
        self._path = f"/repos/{quote(project.path)}"

    def is_protected(self, branch: str) -> bool:
        """See `Forge`: https://docs.github.com/en/rest/branches/branches#get-a-branch."""
        found = self._client.get(f"{self._path}/branches/{quote(branch, safe='')}")
        return isinstance(found, dict) and found.get("protected") is True

    def pull_requests(self, branches: Collection[str]) -> Sequence[Head]:
        """See `Forge`: https://docs.github.com/en/rest/pulls/pulls#list-pull-requests."""
        found = (_head(one, branches) for one in self._client.pages(f"{self._path}/pulls", state="open"))
        return [one for one in found if one]

    def report(self, head: Head, status: Status) -> None:
        """See `Forge`: https://docs.github.com/en/rest/commits/statuses#create-a-commit-status."""
        link = {"target_url": status.link} if status.link else {}
        data = {"state": str(status.outcome), "description": status.short, "context": head.context}
        self._client.post(f"{self._path}/statuses/{head.commit}", {**data, **link})


def _api(url: str, *, is_gitea: bool) -> str:
    if is_gitea:
        return f"{url}/api/v1"
    return "https://api.github.com" if url == "https://github.com" else f"{url}/api/v3"


def _head(pull: dict[str, Any], branches: Collection[str]) -> Head | None:
    """The head of a pull request; None if it is to another branch, or malformed."""
    match pull:
        case {
            "number": int(number),
            "head": {"sha": str(commit), **head},
            "base": {"ref": str(base), "repo": {"full_name": str(repository)}},
        } if number > 0 and base in branches and COMMIT.fullmatch(commit):
            # The repository of a fork may be gone.
            match head:
                case {"ref": str(source), "repo": {"full_name": str(own)}} if own == repository:
                    return Head(f"refs/pull/{number}/head", commit, number, base, source)
            return Head(f"refs/pull/{number}/head", commit, number, base)
    return None
