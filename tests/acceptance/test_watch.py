"""`farm watch` publishes what a new commit lacks, builds pull requests, and tells the forge of both."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import signal
import subprocess
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.process import free_port
from tests.support.farm_command import wait_until
from tests.support.forge import TOKEN, Forge, running_forge
from tests.support.git_repos import git
from tests.support.http import send
from tests.support.remote_farm import RemoteFarm, Sleep, end
from tests.support.ssh_keys import keygen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace

SECRET = "It's a Secret to Everybody"
ARCHES = "amd64, arm64"


class Watched(RemoteFarm):
    """A repository, its forge, a farm of two architectures, and the watch of the repository."""

    forge: Forge
    log: Path

    @property
    def head(self) -> str:
        return git(self.workspace.directory, "rev-parse", "HEAD").decode()

    def start_watch(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start the watch; its output is in the file `log`."""
        repository = str(self.workspace.directory)
        command = ("watch", repository, "--every", "1s", "--forge", self.forge.kind, *words)
        given = {"FARM_FORGE_TOKEN": TOKEN, "FARM_WEBHOOK_SECRET": SECRET, **variables}
        # git says there which commands it ran.
        given["GIT_TRACE"] = str(self.log.with_name("trace.log"))
        with self.log.open("a") as log:
            self.workspace.variables["FARM_BROKER"] = self.broker_of("push")
            environment = self.workspace.environment(**given)
            return subprocess.Popen(
                [self.workspace.program, *command, "--forge-url", self.forge.url],
                cwd=self.log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )

    @contextmanager
    def watch(self, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """The watch runs; at the end SIGTERM ends it well."""
        process = self.start_watch(*words, **variables)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.said()
        finally:
            end(process)

    def said(self) -> str:
        return self.log.read_text()

    def await_status(self, commit: str, state: str) -> str:
        """Wait until the newest status of a commit is this one; returns its description."""
        wait_until(lambda: self.forge.of(commit)[-1:] == [state], 120, otherwise=self.said)
        return self.forge.text(commit)

    def write_lasting(self, package: str, sleep: Sleep) -> str:
        """Commit a package whose only build lasts; returns the commit."""
        return self.write(package, sleep.command, arches="amd64")

    def write(self, package: str, run: str = "true", *, arches: str = ARCHES) -> str:
        """Commit a package with a step; returns the commit."""
        base = f"FROM {self.workspace.lab.registry}/library/busybox:1.36\n"
        self.workspace.write(package, arches=arches, Dockerfile=f"{base}RUN {run}\n")
        return self.head

    def signed(self, commit: str, key: Path | None = None) -> str:
        """Sign the newest commit, by default with the maintainer's key; returns the new commit."""
        path = key or self.workspace.variables["FARM_ORDER_KEY"]
        words = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={path}")
        git(self.workspace.directory, *words, "commit", "-q", "--amend", "--no-edit", "-S")
        assert self.head != commit
        return self.head

    def stranger(self) -> Path:
        """The key of somebody whom the policy does not know."""
        path = self.log.parent / f"stranger-{secrets.token_hex(4)}"
        return keygen(path)

    @contextmanager
    def unprotected(self) -> Iterator[None]:
        """The forge does not protect the branch, which is afterwards as it was."""
        before = self.head
        self.forge.protected.clear()
        try:
            yield
        finally:
            self.forge.protected.add("main")
            git(self.workspace.directory, "reset", "-q", "--hard", before)

    def open_pull(self, number: int, commit: str, *, own: bool = True) -> None:
        """Open a pull request: `own` ones are from a branch of the repository."""
        refs = [f"refs/pull/{number}/head", *([f"refs/heads/topic-{number}"] if own else [])]
        for ref in refs:
            git(self.workspace.directory, "update-ref", ref, commit)
        self.forge.pulls.append((number, commit, own))

    def commands(self, verb: str) -> int:
        """How often watches have run a command of git."""
        trace = self.log.with_name("trace.log")
        return trace.read_text().count(f"built-in: git {verb}") if trace.exists() else 0

    def looks(self) -> int:
        """How often watches have looked for new commits."""
        return self.commands("ls-remote")

    def await_looks(self, total: int = 0) -> None:
        """Wait until a watch has looked this often; by default, twice from now on."""
        wanted = total or self.looks() + 2
        wait_until(lambda: self.looks() >= wanted, otherwise=self.said)

    def runs_of(self, package: str) -> list[str]:
        """The runs that contain a package."""
        return [run for run in self.runs() if package in self.package_states(run)]


@pytest.fixture(scope="module")
def farm(new_workspace: NewWorkspace, module_broker: str) -> Iterator[Watched]:
    with ExitStack() as stack:
        found = stack.enter_context(closing(Watched(new_workspace(), module_broker)))
        found.workspace.variables["FARM_SIGN"] = "false"
        found.log = found.workspace.directory.parent / "watch.log"
        found.forge = stack.enter_context(running_forge("gitea"))
        stack.enter_context(found.serving("amd64", "arm64"))
        yield found


def test_what_a_new_commit_of_a_protected_branch_lacks_is_published_and_reported(farm: Watched) -> None:
    first = farm.write("one")
    with farm.watch("--link", "https://farm.example.org/{run}/{commit}"):
        assert re.fullmatch(r"packages published: 1 \(run r\d+-\w+\)", farm.await_status(first, "success"))
        assert farm.forge.of(first) == ["pending", "success"]
        assert re.fullmatch(rf"https://farm.example.org/r\d+-\w+/{first}", farm.forge.links[-1])
        assert len(farm.workspace.tags("one")) == 3
        second = farm.write("two")
        farm.await_status(second, "success")
    assert len(farm.workspace.tags("two")) == 3
    assert [len(farm.runs_of(name)) for name in ("one", "two")] == [1, 1]


def test_a_watch_that_starts_again_repeats_nothing(farm: Watched) -> None:
    commit = farm.write("again")
    with farm.watch():
        farm.await_status(commit, "success")
    before = farm.forge.statuses.copy(), farm.runs()
    with farm.watch() as process:
        farm.await_looks()
        assert process.poll() is None
    assert (farm.forge.statuses, farm.runs()) == before


def test_a_watch_killed_before_its_push_and_during_its_run_submits_one_run(farm: Watched) -> None:
    sleep = Sleep()
    commit = farm.write_lasting("killed", sleep)
    state = farm.workspace.state.directory
    for reached in (
        lambda: any(commit in one.read_text() for one in state.glob("watch/*/heads.json")),
        lambda: any(state.glob("watch/*/checkouts/*/killed")),
        lambda: farm.runs_of("killed"),
        sleep.processes,
    ):
        process = farm.start_watch()
        wait_until(reached, otherwise=farm.said)
        end(process)
    with farm.watch():
        farm.await_status(commit, "pending")
        sleep.finish()
        farm.await_status(commit, "success")
    assert len(farm.runs_of("killed")) == 1
    assert farm.forge.of(commit) == ["pending", "success"]


def test_a_commit_that_a_force_push_replaces_does_not_stop_the_newer_one(farm: Watched) -> None:
    sleep = Sleep()
    old = farm.write_lasting("forced", sleep)
    with farm.watch():
        sleep.wait()
        git(farm.workspace.directory, "reset", "-q", "--hard", "HEAD~1")
        new = farm.write("forced")
        sleep.finish()
        farm.await_status(new, "success")
        farm.await_status(old, "success")
    assert farm.workspace.tag("forced") in farm.workspace.tags("forced")


def test_of_three_hundred_new_commits_the_newest_is_published(farm: Watched) -> None:
    directory = farm.workspace.directory
    packages = [farm.write(f"many-{number}") for number in range(3)]
    commits = [
        git(directory, "commit-tree", "-p", "HEAD", "-m", str(number), "HEAD^{tree}").decode()
        for number in range(1)
    ]
    for number in range(300):
        parent = commits[-1]
        commits.append(git(directory, "commit-tree", "-p", parent, "-m", str(number), "HEAD^{tree}").decode())
    git(directory, "reset", "-q", "--hard", commits[-1])
    with farm.watch():
        farm.await_status(commits[-1], "success")
    assert not any(farm.forge.of(commit) for commit in (*packages, *commits[:-1]))
    assert [len(farm.runs_of(f"many-{number}")) for number in range(3)] == [1, 1, 1]


def test_a_genuine_webhook_is_followed_at_once_and_a_forged_one_is_refused(farm: Watched) -> None:
    commit = farm.write("hooked")
    with farm.watch("--every", "1h", "--webhook", str(free_port())):
        farm.await_status(commit, "success")
        url = re.findall(r"webhooks: (\S+)", farm.said())[-1]
        assert send("GET", f"{url}/healthz").status == 200
        body = b'{"ref": "refs/heads/main"}'

        def post(secret: bytes) -> int:
            signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
            return send("POST", url, body=body, headers={"X-Gitea-Signature": signature}).status

        for _ in range(2):
            looks = farm.looks()
            assert post(SECRET.encode()) == 202
            farm.await_looks(looks + 1)
        looks, second = farm.looks(), farm.write("hooked-2")
        assert [post(guess) for guess in (b"", b"guessed", SECRET.lower().encode())] == [401, 401, 401]
        assert send("POST", url, body=body).status == 401
        assert (farm.looks(), farm.forge.of(second)) == (looks, [])
        assert post(SECRET.encode()) == 202
        farm.await_status(second, "success")


def test_a_package_that_fails_is_reported_with_its_reason_and_not_tried_again(farm: Watched) -> None:
    commit = farm.write("broken", "false")
    with farm.watch():
        text = farm.await_status(commit, "failure")
        assert re.search(r"run r\d+-\w+: .*broken", text)
        farm.await_looks()
        assert farm.forge.of(commit) == ["pending", "failure"]
        git(farm.workspace.directory, "rm", "-rq", "broken")
        git(farm.workspace.directory, "commit", "-qm", "remove it")
        farm.await_status(farm.head, "success")
    assert len(farm.runs_of("broken")) == 1


def test_a_forge_that_is_away_stops_no_push_of_a_signed_commit_and_is_told_later(farm: Watched) -> None:
    with farm.watch():
        farm.await_looks()
        farm.forge.away = True
        try:
            commit = farm.signed(farm.write("lonely"))
            wait_until(lambda: len(farm.workspace.tags("lonely")) == 3, otherwise=farm.said)
            assert farm.forge.of(commit) == []
        finally:
            farm.forge.away = False
        farm.await_status(commit, "success")


def test_unsigned_commits_of_an_unprotected_branch_are_not_built_and_signed_ones_are(farm: Watched) -> None:
    with farm.unprotected(), farm.watch():
        commit = farm.write("unsigned")
        text = farm.await_status(commit, "failure")
        assert text.startswith("not built: main is not protected by the forge, and the commit has no SSH")
        signed = farm.signed(commit)
        farm.await_status(signed, "success")
        stranger = farm.signed(farm.write("strange"), farm.stranger())
        assert "is not in the policy" in farm.await_status(stranger, "failure")
        assert farm.runs_of("strange") == []
    assert farm.runs_of("strange") == []


def test_a_maintainer_publishes_by_a_signed_commit_only_what_they_may_order(farm: Watched) -> None:
    key, policy = farm.stranger(), farm.log.parent / "limited.yml"
    policy.write_text(Path(farm.workspace.variables["FARM_POLICY"]).read_text())
    public = key.with_name(f"{key.name}.pub").read_text().strip()
    may = ("--may", f"{farm.workspace.org}/allowed-*")
    words = ("policy", "add", "maintainer", "limited", *may, "--key", public)
    farm.workspace.done(*words, FARM_POLICY=str(policy))
    with farm.unprotected(), farm.watch(FARM_POLICY=str(policy)):
        farm.await_status(farm.signed(farm.write("allowed-1"), key), "success")
        refused = farm.await_status(farm.signed(farm.write("other"), key), "failure")
        assert "limited may not order" in refused
    assert farm.runs_of("other") == []


def test_a_commit_that_was_not_allowed_is_published_once_it_is(farm: Watched) -> None:
    """It is checked again once an hour, and at each start."""
    before = farm.head
    farm.forge.protected.clear()
    commit = farm.write("patient")
    with farm.watch():
        farm.await_status(commit, "failure")
    farm.forge.protected.add("main")
    with farm.watch():
        farm.await_status(commit, "success")
    assert farm.runs_of("patient")
    git(farm.workspace.directory, "reset", "-q", "--hard", before)


def test_what_the_forge_names_and_the_repository_does_not_have_yet_is_asked_for_ever_less_often(
    farm: Watched,
) -> None:
    git(farm.workspace.directory, "update-ref", "refs/pull/9/head", farm.head)
    farm.forge.pulls = [(9, "9" * 40, True)]
    fetches = farm.commands("fetch")
    with farm.watch("--pull-requests"):
        farm.await_looks(farm.looks() + 8)
    farm.forge.pulls = []
    # After 5, 15, 35 and 75 s: eight looks do not take longer.
    assert 1 <= farm.commands("fetch") - fetches <= 5


def test_a_forge_that_is_away_when_the_watch_starts_makes_it_forget_no_pull_request(farm: Watched) -> None:
    main = farm.head
    commit = farm.write("remembered")
    git(farm.workspace.directory, "reset", "-q", "--hard", main)
    farm.open_pull(6, commit)
    with farm.watch("--pull-requests"):
        farm.await_status(commit, "success")
    farm.forge.away = True
    with farm.watch("--pull-requests"):
        farm.await_looks()
        farm.await_looks()
    farm.forge.away = False
    with farm.watch("--pull-requests"):
        farm.await_looks()
    farm.forge.pulls = []
    assert farm.forge.of(commit) == ["success"]


def test_a_directory_of_a_pull_request_that_looks_like_an_option_is_a_directory(farm: Watched) -> None:
    main, secret = farm.head, farm.log.parent / "secret.env"
    secret.write_text("STOLEN=secret-of-the-operator\n")
    folder = farm.workspace.directory / f"--build-arg-file={secret}"
    folder.mkdir(parents=True)
    (folder / "build.yml").write_text("image: evil\n")
    base = f"FROM {farm.workspace.lab.registry}/library/busybox:1.36\n"
    (folder / "Dockerfile").write_text(f'{base}ARG STOLEN\nRUN test -z "$STOLEN"\n')
    farm.workspace.commit()
    commit = farm.head
    git(farm.workspace.directory, "reset", "-q", "--hard", main)
    farm.open_pull(11, commit)
    with farm.watch("--pull-requests"):
        assert farm.await_status(commit, "success") == "packages built, not published: 1"
    farm.forge.pulls = []


def test_pull_requests_are_built_and_not_published_if_members_or_maintainers_vouch_for_them(
    farm: Watched,
) -> None:
    directory = farm.workspace.directory
    main = farm.head
    farm.open_pull(1, ours := farm.write("ours"))
    git(directory, "reset", "-q", "--hard", main)
    farm.open_pull(2, theirs := farm.write("theirs"), own=False)
    farm.open_pull(3, signed := farm.signed(theirs), own=False)
    git(directory, "reset", "-q", "--hard", main)
    farm.open_pull(4, bad := farm.write("bad", "false"))
    git(directory, "reset", "-q", "--hard", main)
    pushed = farm.write("pushed")
    git(directory, "reset", "-q", "--hard", main)
    # As Gitea shows what anybody has pushed to refs/for/main.
    git(directory, "update-ref", "refs/pull/5/head", pushed)
    farm.forge.pulls.append((5, pushed, True))
    with farm.watch("--pull-requests"):
        assert farm.await_status(ours, "success") == "packages built, not published: 1"
        text = farm.await_status(theirs, "pending")
        assert text.startswith(
            "not built: pull request 2 is from a fork, and the commit has no SSH signature"
        )
        farm.await_status(signed, "success")
        assert "bad" in farm.await_status(bad, "failure")
        assert farm.await_status(pushed, "pending").startswith("not built: pull request 5 is from a fork")
    farm.forge.pulls = []
    for name in ("ours", "theirs", "bad", "pushed"):
        assert farm.workspace.tags(name) == []
        assert farm.runs_of(name) == []


def test_the_build_of_a_pull_request_has_no_secret_of_the_watch(farm: Watched) -> None:
    main = farm.head
    commit = farm.write("curious", "test ! -e /run/secrets/token && sleep 1")
    git(farm.workspace.directory, "reset", "-q", "--hard", main)
    farm.open_pull(7, commit)
    seen: list[bytes] = []

    def builds() -> bool:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if b"-m\0farm.cli\0build\0" in (process / "cmdline").read_bytes():
                    seen.append((process / "environ").read_bytes())
        return bool(seen)

    with farm.watch("--pull-requests", FARM_BUILD_SECRETS="token=/etc/hostname"):
        wait_until(builds, otherwise=farm.said)
        farm.await_status(commit, "success")
    farm.forge.pulls = []
    assert not any(TOKEN.encode() in one or SECRET.encode() in one or b"FARM_" in one for one in seen)


def test_a_push_that_is_repeated_under_its_key_follows_the_run_of_the_first_one(farm: Watched) -> None:
    sleep = Sleep()
    farm.write_lasting("repeated", sleep)
    words = ("push", "--detach", "--json", "repeated", "--once")
    first = farm.done(*words, "pipeline 1").json["run"]
    sleep.wait()
    assert farm.done(*words, "pipeline 1").json["run"] == first
    assert farm.runs_of("repeated") == [first]
    sleep.finish()
    farm.await_run(first, "done")
    assert farm.done(*words, "pipeline 1").json["run"] is None


def test_a_branch_that_does_not_exist_is_named_and_a_directory_that_a_commit_lacks_too(farm: Watched) -> None:
    with farm.watch("--branch", "mian"):
        wait_until(lambda: "the repository has no branch mian" in farm.said())
    (farm.workspace.directory / "link").symlink_to("/")
    commit = farm.write("placed")
    with farm.watch("nowhere", "placed", "link"):
        text = farm.await_status(commit, "failure")
    assert text == "the commit has no directory nowhere, link"


@pytest.mark.parametrize(
    ("words", "variables", "error"),
    [
        (["/r/os"], {"FARM_BROKER": ""}, "no broker is set"),
        (["/r/os"], {"FARM_POLICY": ""}, "neither a forge nor a policy says which"),
        (["https://me:secret@git.example.org/me/os"], {}, "REPO: has a password"),
        (["/r/os", "--webhook", "8080"], {}, "--webhook needs a forge"),
        (["/r/os", "--pull-requests"], {}, "--pull-requests needs a forge"),
        (["/r/os", "../up"], {}, "must be a directory within the repository"),
        (["/r/os", "--forge", "github"], {}, "does not say which project"),
        (["/r/os", "--branch", "refs/heads/main"], {}, "must be the name of a branch"),
    ],
)
def test_a_watch_that_could_never_work_is_refused(
    farm: Watched, words: list[str], variables: dict[str, str], error: str
) -> None:
    answer = farm.workspace.farm("watch", *words, **variables)
    assert answer.code == 2, answer
    assert error in answer.err


def test_two_watches_of_one_repository_are_refused(farm: Watched) -> None:
    with farm.watch():
        farm.await_looks()
        answer = farm.workspace.farm("watch", str(farm.workspace.directory))
    assert answer.code == 1
    assert "another farm watch" in answer.err
