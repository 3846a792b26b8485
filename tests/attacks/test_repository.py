"""What a stranger's repository could do to whoever runs a command in it: nothing.

Each attack would leave a mark, wait for ever, take all memory, or show a file of the user's.
"""

from __future__ import annotations

import os
import pkgutil
import shlex
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.process import free_port
from tests.acceptance.conftest import new_workspace, workspace
from tests.support.farm_command import FARM, Answer, answer_of, environment_without_farm, wait_until
from tests.support.git_repos import commit, commit_files, git, write

if TYPE_CHECKING:
    from tests.support.farm_command import Workspace

__all__ = ["new_workspace", "workspace"]

PACKAGE = {"p/build.yml": "image: good\n", "p/Dockerfile": "FROM scratch\nCOPY a /\n", "p/a": "a\n"}
_MEMORY = 600 << 20
_SECONDS = 20


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that an attack would make."""
    return tmp_path / "mark"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one package, p."""
    return commit_files(tmp_path / "repository", PACKAGE)


def farm(repository: Path, *words: str, **variables: str) -> Answer:
    """Run `farm WORDS` there, for a user with nothing set, with little memory and time."""
    home = repository.parent / "home"
    environment = environment_without_farm() | {"HOME": str(home), "XDG_CONFIG_HOME": "", **variables}
    limits = f"ulimit -v {_MEMORY >> 10}; exec {shlex.join([FARM, *words])}"
    return answer_of(["bash", "-c", limits], environment, repository, seconds=_SECONDS)


def pack(repository: Path) -> None:
    """Do with p what a push does before it asks any service, and pack its context."""
    script = (
        "import io; from farm.package.read_packages import read_packages\n"
        "from farm.package.tags import TagOptions\n"
        "from farm.package.check_files import check_files\n"
        "from farm.package.pack_context import pack_context\n"
        "from farm.package.git import tags_on_head\n"
        "from farm.errors import FarmError\n"
        "try:\n"
        "    packages = read_packages(['p'], TagOptions()); tags_on_head(['p'])\n"
        "    check_files(packages); pack_context(packages[0], io.BytesIO())\n"
        "except FarmError as error: print(error)\n"
    )
    environment = environment_without_farm() | {"HOME": str(repository.parent / "home")}
    answer = answer_of([sys.executable, "-P", "-c", script], environment, repository, seconds=_SECONDS)
    assert answer.code == 0, answer.err


def touch(file: Path) -> None:
    """Make git look at the content of a file, which is as committed."""
    os.utime(file, (2_000_000_000, 2_000_000_000))


# Row 23: modules in the current directory.


def shadows(directory: Path, mark: Path) -> None:
    """A module for each name that Python could import, which leaves a mark."""
    text = f"import posix\nposix.close(posix.open({str(mark)!r} + '.' + __name__, 0o101))\nraise SystemExit\n"
    names = {module.name for module in pkgutil.iter_modules()} | set(sys.stdlib_module_names)
    for name in names - set(sys.builtin_module_names):
        (directory / f"{name}.py").write_text(text)


def test_no_verb_imports_a_module_of_the_current_directory(workspace: Workspace, mark: Path) -> None:
    """Nor does what it starts: supervisor, worker, publisher, Flower."""
    shadows(workspace.directory, mark)
    workspace.write("one", arches="amd64")
    workspace.done("up", "--detach", FARM_FLOWER_PORT=str(free_port()))
    workspace.done("push", "--no-sign", "one")
    for words in (
        ["status"],
        ["workers"],
        ["doctor", "--no-sign"],
        ["show-tag", "one"],
        ["plan", "--no-sign", "one"],
    ):
        workspace.done(*words)
    log = workspace.state.logs / "flower.log"
    wait_until(lambda: "Connected to redis" in log.read_text())
    workspace.done("down")
    assert list(mark.parent.glob("mark.*")) == []
    assert "Traceback" not in log.read_text()


# Row 24: ./farm.yml.


def test_a_farm_yml_of_the_repository_runs_no_command_and_sends_nothing_elsewhere(
    repository: Path, mark: Path
) -> None:
    script = f"touch {mark}"
    text = (
        "org: theirs\n"
        "engine: tcp://192.0.2.1:1\n"
        f"signing-passphrase-command: {script}\n"
        "signing-key: key.pem\n"
        "broker: redis://192.0.2.1/0\n"
        "mirrors: {'*': 'https://192.0.2.1'}\n"
        "flower-password-file: /etc/hostname\n"
    )
    write(repository, {"farm.yml": text})
    commit(repository)
    answer = farm(repository, "show-tag", "p")
    assert answer.out.startswith("theirs/good:")
    ignored = "engine, signing-passphrase-command, signing-key, broker, mirrors, flower-password-file"
    assert answer.err.startswith(f"warning: ./farm.yml: ignored {ignored}: ")
    assert answer.err.count("\n") == 1
    listed = farm(repository, "doctor", "--settings").out
    assert "192.0.2.1" not in listed
    assert Path("/etc/hostname").read_text().strip() not in listed
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["link", "zero", "fifo", "large"])
def test_a_farm_yml_that_is_no_file_of_the_repository_shows_nothing_and_does_not_wait(
    repository: Path, tmp_path: Path, kind: str
) -> None:
    place, secret = repository / "farm.yml", tmp_path / "secret"
    secret.write_text("hush: 1\n")
    place_odd_file(place, kind, secret)
    answer = farm(repository, "show-tag", "p")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "hush" not in answer.err


def place_odd_file(place: Path, kind: str, secret: Path) -> None:
    """Put a link to a secret or to /dev/zero, a named pipe, or a large file there."""
    place.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "large":
        with place.open("wb") as file:
            file.truncate(64 << 20)
    else:
        place.symlink_to(Path("/dev/zero") if kind == "zero" else secret)


# Row 25: .git/config.


def program(mark: Path) -> str:
    """A program that leaves the mark."""
    script = mark.with_name("program")
    script.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    script.chmod(0o755)
    return str(script)


CONFIGURATIONS = {
    "fsmonitor": {"core.fsmonitor": "{run}"},
    "clean": {"filter.x.clean": "{run}", "filter.x.required": "true"},
    "process": {"filter.x.process": "{run}"},
    "odd-name": {"filter.a=b.clean": "{run}"},
    "lfs": {"filter.lfs.clean": "{run}"},
    "include": {"include.path": "evil"},
    "others": {
        "core.hooksPath": "{hooks}",
        "core.pager": "{run}",
        "pager.tag": "true",
        "diff.external": "{run}",
        "diff.x.textconv": "{run}",
    },
}


@pytest.mark.parametrize("attack", CONFIGURATIONS)
def test_the_configuration_of_a_repository_runs_nothing(repository: Path, mark: Path, attack: str) -> None:
    run = program(mark)
    hooks = repository / ".git" / "evil-hooks"
    hooks.mkdir()
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (hooks / name).symlink_to(run)
    driver = {"lfs": "lfs", "odd-name": "a=b"}.get(attack, "x")
    write(
        repository,
        {
            ".git/info/attributes": f"* filter={driver} diff=x\n",
            ".git/evil": f"[core]\n\tfsmonitor = {run}\n",
        },
    )
    for key, value in CONFIGURATIONS[attack].items():
        git(repository, "config", key, value.format(run=run, hooks=hooks))
    touch(repository / "p" / "a")
    assert farm(repository, "show-tag", "p").code == 0
    pack(repository)
    assert not mark.exists()


def test_the_configuration_of_a_submodule_runs_nothing(repository: Path, tmp_path: Path, mark: Path) -> None:
    inner = commit_files(tmp_path / "inner", {"f": "f\n"})
    allow = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    git(repository, *allow, "add", str(inner), "p/sub")
    commit(repository)
    sub = repository / "p" / "sub"
    git(sub, "config", "filter.x.clean", program(mark))
    git(sub, "config", "core.fsmonitor", program(mark))
    write(repository, {".git/modules/p/sub/info/attributes": "* filter=x\n"})
    touch(sub / "f")
    pack(repository)
    answer = farm(repository, "show-tag", "p")
    assert "dirty" not in answer.out
    assert not mark.exists()
    (sub / "f").write_text("changed\n")
    assert "dirty" in farm(repository, "show-tag", "p").out


@pytest.mark.parametrize("url", ["ssh://host/x", "ext::{run}", "/nonexistent"])
def test_a_partial_clone_fetches_nothing(repository: Path, mark: Path, url: str) -> None:
    run = program(mark)
    git(repository, "config", "remote.origin.url", url.format(run=run))
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "remote.origin.uploadpack", run)
    git(repository, "config", "core.sshCommand", run)
    git(repository, "config", "protocol.allow", "always")
    git(repository, "config", "extensions.partialClone", "origin")
    blob = git(repository, "rev-parse", "HEAD:p/a").decode()
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    pack(repository)
    assert not mark.exists()


def test_what_a_partial_clone_lacks_is_an_error_with_the_command_that_fetches_it(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "p/b").write_text("later\n")
    commit(repository)
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=tree:0", f"file://{repository}", "part")
    answer = farm(tmp_path / "part", "show-tag", "--hash-commit", "HEAD~1", "p")
    assert (answer.code, answer.out) == (2, "")
    assert "this partial clone lacks objects" in answer.err
    git(tmp_path / "part", "-c", "protocol.file.allow=always", "fetch", "--refetch", "--no-filter")
    assert farm(tmp_path / "part", "show-tag", "--hash-commit", "HEAD~1", "p").code == 0


def test_a_repository_within_the_files_of_a_clone_is_none(repository: Path, mark: Path) -> None:
    """A directory with HEAD, objects, refs and config can be committed."""
    bare = repository / "p"
    git(repository, "init", "-q", "--bare", str(repository / "bare"))
    for name in ("HEAD", "config", "objects", "refs"):
        (repository / "bare" / name).rename(bare / name)
    git(bare, "config", "-f", "config", "core.fsmonitor", program(mark))
    git(bare, "config", "-f", "config", "core.worktree", str(bare))
    (repository / ".gitignore").write_text("made\n")
    (bare / "Dockerfile").write_text("FROM scratch\nCOPY made /\n")
    commit(repository)
    (bare / "made").write_text("made\n")
    pack(repository)
    assert not mark.exists()


def test_a_working_tree_elsewhere_is_refused(repository: Path) -> None:
    git(repository, "config", "core.worktree", "/etc")
    answer = farm(repository, "show-tag", "p")
    assert (answer.code, answer.err) == (
        2,
        f"farm: {repository}: its core.worktree is another directory, /etc\n",
    )


def test_a_file_in_lfs_that_was_only_touched_is_unchanged_and_no_filter_is_needed_to_see_it(
    tmp_path: Path,
) -> None:
    """`git status` would run the clean filter of git-lfs."""
    content = b"content\n"
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content).hexdigest()}\nsize 8\n"
    )
    files = PACKAGE | {"p/big": pointer, ".gitattributes": "p/big filter=lfs\n"}
    repository = commit_files(tmp_path / "repository", files)
    (repository / "p" / "big").write_bytes(content)
    assert "dirty" not in farm(repository, "show-tag", "p").out
    (repository / "p" / "big").chmod(0o755)
    assert "dirty" in farm(repository, "show-tag", "p").out
    (repository / "p" / "big").chmod(0o644)
    (repository / "p" / "big").write_bytes(b"CONTENT\n")
    assert "dirty" in farm(repository, "show-tag", "p").out


# Row 26: files that wait, grow, or are elsewhere.


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("build.yml", kind) for kind in ("link", "zero", "fifo", "large")),
        *(("Dockerfile", kind) for kind in ("link", "fifo", "large")),
        *(("images", kind) for kind in ("link", "zero")),
    ],
)
def test_a_file_of_a_package_that_is_no_file_of_the_repository_is_refused_by_its_name(
    repository: Path, tmp_path: Path, name: str, kind: str
) -> None:
    """And nothing of a file elsewhere is shown."""
    secret = tmp_path / "secret"
    secret.write_text("hush: 1\n")
    depends = "depends: {docker-images: {from-file: images, target: t}}\n" if name == "images" else ""
    (repository / "p" / "build.yml").write_text(f"image: good\n{depends}")
    place_odd_file(repository / "p" / name, kind, secret)
    answer = farm(repository, "build", "p")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert name in answer.err
    assert "hush" not in answer.err


def test_a_build_yml_may_be_a_link_within_the_repository(repository: Path) -> None:
    (repository / "p" / "build.yml").rename(repository / "shared.yml")
    (repository / "p" / "build.yml").symlink_to("../shared.yml")
    commit(repository)
    assert farm(repository, "show-tag", "p").out.startswith("linuxkit/good:")


def test_a_committed_file_of_any_size_takes_little_memory(repository: Path) -> None:
    for name in ("p/.gitattributes", "p/Dockerfile"):
        write(repository, {name: "# filter eol=crlf\n" + "x" * (4 << 20)})
        commit(repository)
        answer = farm(repository, "build", "p")
        assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
        assert "more than 1048576 bytes" in answer.err
        (repository / name).unlink()


ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
TEXTS = {
    "aliases": f"image: a\nconfig:\n  a0: &a0 [x]\n{ALIASES.replace(chr(10), chr(10) + '  ')}\n",
    "long-alias": f"image: a\nconfig:\n  env: [&x {'x' * 500_000}{', *x' * 50_000}]\n",
    "merges": f"image: a\nconfig: {{<<: [{', '.join(f'{{k{n}: 1}}' for n in range(40_000))}]}}\n",
    "deep": f"image: {'[' * 500_000}\n",
    "digits": f"image: a\nconfig: {{oomScoreAdj: 0x{'f' * 900_000}}}\n",
}


@pytest.mark.parametrize("text", TEXTS)
def test_no_build_yml_takes_much_time_or_memory(repository: Path, text: str) -> None:
    (repository / "p" / "build.yml").write_text(TEXTS[text])
    answer = farm(repository, "show-tag", "p")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err[:300]
    assert len(answer.err) < 1000


DOCKERFILES = {
    "args": "ARG A0=xxxxxxxxxx\n" + "".join(f"ARG A{n}={f'$A{n - 1}' * 10}\n" for n in range(1, 10)),
    "instructions": "ENV A=b\n" * 100_000,
    "stages": "".join(f"FROM a{n} AS b{n}\n" for n in range(30_000)),
    "one-word": f"ARG A={'x' * 900_000}\n",
    "nested": f"COPY {'[' * 60_000}\nARG {'x' * 70_000}\n",
}


@pytest.mark.parametrize("text", DOCKERFILES)
def test_no_dockerfile_takes_much_time_or_memory(repository: Path, text: str) -> None:
    write(repository, {"p/Dockerfile": f"{DOCKERFILES[text]}FROM $A9\n"})
    commit(repository)
    answer = farm(repository, "build", "p")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err[:300]
    assert answer.err.startswith("farm: p: its Dockerfile has ")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("@lkt:pkgs:/**", "must name a directory relative to the build.yml"),
        ("@lkt:pkg:/etc", "must name a directory relative to the build.yml"),
        ("@lkt:pkgs:../../*", "is outside of the repository"),
        ("@lkt:pkgs:../out/*", "is outside of the repository"),
        ("@lkt:pkg:../out", "is outside of the repository"),
        ("@lkt:pkgs:" + "*/" * 40 + "none*", "no package found"),
    ],
)
def test_a_build_argument_looks_at_no_directory_outside_of_the_repository(
    repository: Path, tmp_path: Path, value: str, why: str
) -> None:
    """Nor, by links in circles, for ever at those inside."""
    commit_files(tmp_path / "private", {"secret/build.yml": "image: hush\n"})
    (repository / "out").symlink_to(tmp_path / "private")
    for number in range(10):
        (repository / "p" / f"again{number}").symlink_to(".")
    write(repository, {"p/build.yml": f"image: good\nbuildArgs: ['%_A={value}']\n"})
    commit(repository)
    answer = farm(repository, "build", "p")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert why in answer.err
    assert "hush" not in answer.err
