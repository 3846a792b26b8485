"""A forge: the parts of the APIs of GitHub, Gitea and GitLab that a watch uses, over real repositories.

No forge can be installed from Debian. What this one answers has the fields that the forges' documentation
shows; what it is sent is checked as they check it: token, states, lengths.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.http_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "forge-token-of-the-tests"
_STATES = {
    "gitea": ("pending", "success", "error", "failure", "warning"),
    "github": ("error", "failure", "pending", "success"),
    "gitlab": ("pending", "running", "success", "failed", "canceled", "skipped"),
}


@dataclass
class Forge:
    """One project on a forge of one kind."""

    kind: str
    url: str = ""
    protected: set[str] = field(default_factory=lambda: {"main"})
    pulls: list[tuple[int, str, bool]] = field(default_factory=list)
    """Number, commit, and whether it is from a branch of the project itself; all to main."""
    statuses: list[tuple[str, str, str]] = field(default_factory=list)
    """Commit, state and description, in the order in which they came."""
    links: list[str] = field(default_factory=list)
    away: bool = False
    """Whether it answers everything with 503."""

    def of(self, commit: str) -> list[str]:
        """The states that a commit was given, in order."""
        return [state for one, state, _ in self.statuses if one == commit]

    def text(self, commit: str) -> str:
        """The newest description of a commit; "" if it has none."""
        return next((text for one, _, text in reversed(self.statuses) if one == commit), "")

    def get(self, path: str, page: int) -> Any:
        """The answer to a GET; None if there is none."""
        *_, last = path.split("/")
        if "/branches/" in path:
            return {"name": unquote(last), "protected": unquote(last) in self.protected}
        if path.endswith(("/pulls", "/merge_requests")):
            return [self._pull(*one) for one in self.pulls] if page == 1 else []
        return None

    def _pull(self, number: int, commit: str, own: bool) -> Any:
        if self.kind == "gitlab":
            ids = {"source_project_id": 1 if own else 2, "target_project_id": 1}
            names = {"source_branch": f"topic-{number}", "target_branch": "main"}
            return {"iid": number, "sha": commit, **ids, **names}
        repository = {"full_name": "me/os" if own else "somebody/os"}
        base = {"ref": "main", "repo": {"full_name": "me/os"}}
        return {
            "number": number,
            "head": {"sha": commit, "ref": f"topic-{number}", "repo": repository},
            "base": base,
        }

    def post(self, path: str, data: dict[str, str]) -> tuple[int, Any]:
        """The status and the answer to a POST."""
        if "/statuses/" not in path:
            return 404, {"message": "Not Found"}
        commit = path.rpartition("/")[2]
        state, text = data["state"], data["description"]
        if state not in _STATES[self.kind] or len(text) > 140 or not data.get("context", data.get("name")):
            return 422, {"message": "Validation Failed"}
        if self.kind == "gitlab" and not data.get("ref"):
            return 404, {"message": "404 References for commit Not Found"}
        if self.kind == "gitlab" and self.of(commit)[-1:] == [state]:
            return 400, {"message": f"Cannot transition status via :{state} from :{state}"}
        self.statuses.append((commit, state, text))
        self.links.append(data.get("target_url", ""))
        return 201, data


class _Handler(BaseHTTPRequestHandler):
    forge: Forge
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        page = int(parse_qs(url.query).get("page", ["1"])[0])
        if self._refused():
            return
        found = self.forge.get(url.path, page)
        self._answer(200, found) if found is not None else self._answer(404, {"message": "Not Found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._refused():
            self._answer(*self.forge.post(urlsplit(self.path).path, json.loads(body)))

    def _refused(self) -> bool:
        """Answer what is refused whatever it asks for."""
        given = self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization", "")
        if self.forge.away:
            self._answer(503, {"message": "down for maintenance"})
        elif str(given).rpartition(" ")[2] != TOKEN:
            self._answer(401, {"message": "Bad credentials"})
        else:
            return False
        return True

    def _answer(self, status: int, data: Any) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Do nothing."""


@contextmanager
def running_forge(kind: str) -> Iterator[Forge]:
    """A forge, for as long as the body runs."""
    forge = Forge(kind)
    handler = type("Handler", (_Handler,), {"forge": forge})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    forge.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield forge
