"""GitLab: https://docs.gitlab.com/api/rest/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from farm.errors import ForgeError
from farm.watch.forge_client import ForgeClient
from farm.watch.heads import COMMIT, Head, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from farm.settings import Secret
    from farm.watch.forge import Project
    from farm.watch.heads import Status

_STATES = {
    Outcome.PENDING: "running",
    Outcome.SUCCESS: "success",
    Outcome.FAILURE: "failed",
    Outcome.ERROR: "failed",
}
_SAME = "Cannot transition status"
"""What GitLab says of a commit that has this state already."""


class GitLab:
    """A project on GitLab; see `Forge`."""

    def __init__(self, project: Project, token: Secret | None) -> None:
        login = {"PRIVATE-TOKEN": token.reveal()} if token else {}
        self._client = ForgeClient(f"{project.url}/api/v4", login)
        self._path = f"/projects/{quote(project.path, safe='')}"

    def is_protected(self, branch: str) -> bool:
        """See `Forge`: https://docs.gitlab.com/api/branches/#get-single-repository-branch."""
        found = self._client.get(f"{self._path}/repository/branches/{quote(branch, safe='')}")
        return isinstance(found, dict) and found.get("protected") is True

    def pull_requests(self, branches: Collection[str]) -> Sequence[Head]:
        """See `Forge`: https://docs.gitlab.com/api/merge_requests/#list-project-merge-requests."""
        path = f"{self._path}/merge_requests"
        found = (_head(one, branches) for one in self._client.pages(path, state="opened"))
        return [one for one in found if one]

    def report(self, head: Head, status: Status) -> None:
        """See `Forge`: https://docs.gitlab.com/api/commits/#set-commit-pipeline-status."""
        link = {"target_url": status.link} if status.link else {}
        data = {"state": _STATES[status.outcome], "description": status.short, "name": head.context}
        # Without it GitLab looks for a branch that has the commit, and a fork's is on none.
        data["ref"] = head.ref.removeprefix("refs/heads/")
        try:
            self._client.post(f"{self._path}/statuses/{head.commit}", {**data, **link})
        except ForgeError as error:
            if _SAME not in error.message:
                raise


def _head(merge: dict[str, Any], branches: Collection[str]) -> Head | None:
    """The head of a merge request; None if it is to another branch, or malformed."""
    match merge:
        case {
            "iid": int(number),
            "sha": str(commit),
            "source_branch": str(source),
            "source_project_id": project,
            "target_project_id": int(target),
            "target_branch": str(base),
        } if number > 0 and base in branches and COMMIT.fullmatch(commit):
            return Head(
                f"refs/merge-requests/{number}/head",
                commit,
                number,
                base,
                source if project == target else "",
            )
    return None
