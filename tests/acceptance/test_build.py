"""farm build and farm cache: packages built on this machine alone, and the cache that linuxkit reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from farm.model import UNAME
from tests.support.farm_command import BUSYBOX, FARM, Workspace, answer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace

NOWHERE = "redis://127.0.0.1:1/0"
"""Nothing listens there: no command may use a broker."""
LIMIT_RSS = 200 << 10
"""KiB of memory that a command may use, whatever the size of the image."""
# The maximum of a process includes the memory of its parent at its start, so the parent must be small.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


@pytest.fixture
def workspace(new_workspace: NewWorkspace, tmp_path: Path) -> Workspace:
    """A repository with a separate cache."""
    made = new_workspace()
    made.variables["LINUXKIT_CACHE"] = str(tmp_path / "cache")
    made.variables["FARM_BROKER"] = NOWHERE
    return made


@pytest.fixture(scope="module")
def foo(new_workspace: NewWorkspace) -> Workspace:
    """A repository with the package foo, which was built."""
    made = new_workspace()
    made.variables.update(LINUXKIT_CACHE=str(made.directory.parent / "cache"), FARM_BROKER=NOWHERE)
    made.write("foo", Dockerfile=f"{BUSYBOX}RUN echo hello > /text && rm /bin/sh\n")
    made.done("build", "foo")
    return made


@pytest.fixture
def built(foo: Workspace, tmp_path: Path) -> Workspace:
    """The same, with a cache of its own that a test may change."""
    shutil.copytree(cache_of(foo), tmp_path / "cache")
    return replace(foo, variables=foo.variables | {"LINUXKIT_CACHE": str(tmp_path / "cache")})


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=workspace.lab.engine_url)
    yield client
    client.close()


def cache_of(workspace: Workspace) -> Path:
    return Path(workspace.variables["LINUXKIT_CACHE"])


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy_all(workspace: Workspace, into: Path) -> list[str]:
    """Copy every name with all its blobs out of the cache by skopeo."""
    names = [one["name"] for one in workspace.done("cache", "ls", "--json").json]
    for number, name in enumerate(names):
        skopeo("copy", "--quiet", "--all", f"oci:{cache_of(workspace)}:{name}", f"dir:{into / str(number)}")
    return names


def test_a_package_is_built_from_another_that_only_the_cache_has_and_skopeo_copies_both_by_name(
    workspace: Workspace, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """For every architecture; nothing stays in the engine."""
    arches = ("amd64", "arm64", "s390x")
    before = {tag for image in engine.images.list() for tag in image.tags}
    workspace.write("foo", Dockerfile=f"{BUSYBOX}RUN uname -m > /machine; echo machine=$(uname -m)\n")
    same = "RUN test $(cat /machine) = $(uname -m)\n"
    workspace.write("bar", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/foo:{workspace.tag('foo')}\n{same}")
    answer = workspace.done("build", "--json", "--platforms", "linux/amd64,arm64,linux/s390x", "bar", "foo")
    assert {image["origin"] for one in answer.json for image in one["images"]} == {"built"}
    assert all(f"machine={UNAME[arch]}" in answer.err for arch in arches)
    assert workspace.repositories() == []
    assert {tag for image in engine.images.list() for tag in image.tags} == before
    names = copy_all(workspace, tmp_path)
    foo, bar = workspace.reference("foo"), workspace.reference("bar")
    assert sorted(names) == sorted([foo, bar, *(f"{one}-{arch}" for one in (foo, bar) for arch in arches)])
    index = json.loads(skopeo("inspect", "--raw", f"oci:{cache_of(workspace)}:{bar}"))
    assert [one["platform"]["architecture"] for one in index["manifests"]] == list(arches)
    for arch in arches:
        config = json.loads(
            skopeo("inspect", "--config", "--override-arch", arch, f"oci:{cache_of(workspace)}:{bar}-{arch}")
        )
        assert config["architecture"] == arch
    assert "no problems" in workspace.done("cache", "verify").out


def test_a_base_that_an_earlier_build_left_in_the_cache_is_found_in_every_way_to_name_it(
    workspace: Workspace,
) -> None:
    workspace.write(
        "base",
        Dockerfile=f"{BUSYBOX}RUN uname -m > /machine\n",
        build_yml=f"org: {workspace.org}\nimage: base\n",
    )
    workspace.done("build", "--platforms=linux/amd64,linux/arm64", "base")
    name, tag = workspace.reference("base").rsplit(":", 1)
    same = "COPY --from=x /machine /\nRUN test $(cat /machine) = $(uname -m)\n"
    froms = {
        "name": f"FROM {name}:{tag} AS x\n{BUSYBOX}{same}",
        "args": f"ARG IMAGE={name}\nARG TAG={tag}\nFROM ${{IMAGE}}:${{TAG}} AS x\n{BUSYBOX}{same}",
        "copy": f"{BUSYBOX}{same.replace('=x', f'={name}:{tag}')}",
        "package": f"ARG BASE\nFROM $BASE AS x\n{BUSYBOX}{same}",
        "platform": f"FROM --platform=linux/amd64 {name}:{tag}\n",
    }
    for one, text in froms.items():
        args = "buildArgs: ['BASE=@lkt:pkg:../base']\n" if one == "package" else ""
        workspace.write(one, Dockerfile=f"ARG REGISTRY\n{text}", build_yml=f"image: {one}\n{args}")
    workspace.done("build", "--platforms=linux/arm64", *froms)
    for words in (["--platforms=linux/s390x"], ["--platforms=linux/arm64", "--ignore-cached", "--force"]):
        missing = workspace.farm("pkg", "build", *words, "name")
        assert (missing.code, f"{name}:{tag} was not found" in missing.out) == (1, True)


def test_a_later_build_removes_what_a_killed_build_left_in_the_engine(
    workspace: Workspace, engine: docker.DockerClient
) -> None:
    left = "localhost/farm/build:1000-0123456789abcdef"
    engine.images.pull(workspace.lab.base).tag(*left.split(":"))
    workspace.write("foo", Dockerfile=f"{BUSYBOX}RUN true\n")
    workspace.done("build", "foo")
    assert not engine.images.list(name=left)


def test_images_have_both_names_in_the_cache_and_with_docker_in_the_engine(
    workspace: Workspace, engine: docker.DockerClient
) -> None:
    workspace.write("foo", Dockerfile=f'{BUSYBOX}RUN echo hello > /text\nCMD ["cat", "/text"]\n')
    workspace.done("build", "foo")
    workspace.done("pkg", "build", "--docker", "--platforms", "linux/amd64,linux/arm64", "foo")
    name = workspace.reference("foo")
    cached = {one["name"] for one in workspace.done("cache", "ls", "--json").json}
    assert cached == {name, f"{name}-amd64", f"{name}-arm64"}
    try:
        assert engine.containers.run(name, remove=True) == b"hello\n"
        assert engine.images.get(name).attrs["Architecture"] == "amd64"
        for arch in ("amd64", "arm64"):
            assert engine.images.get(f"{name}-{arch}").attrs["Architecture"] == arch
    finally:
        for one in (name, f"{name}-amd64", f"{name}-arm64"):
            engine.images.remove(one, force=True)


def test_uncommitted_changes_are_built_with_modes_links_and_ignored_files(
    workspace: Workspace,
) -> None:
    steps = (
        "COPY . /c\nRUN cat /c/link && test -x /c/run && test ! -e /c/.git && cat /c/ignored && cat /c/x/y\n"
    )
    workspace.write("foo", Dockerfile=BUSYBOX + steps)
    folder = workspace.directory / "foo"
    (folder / "new").write_text("new content")
    (folder / "link").symlink_to("new")
    (folder / "run").touch(mode=0o755)
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "ignored").write_text("ignored content")
    (folder / "x").mkdir()
    (folder / "x" / "y").write_text("deep content")
    answer = workspace.done("build", "foo")
    assert "-dirty-" in answer.out
    assert all(f"{word} content" in answer.err for word in ("new", "ignored", "deep"))
    assert workspace.done("cache", "ls").out.count("-dirty-") == 2


def test_a_directory_outside_git_can_be_built(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "build.yml").write_text("image: plain\n")
    (folder / "Dockerfile").write_text(f"{BUSYBOX}RUN true\n")
    workspace.done("build", str(folder))
    assert f"{workspace.org}/plain:latest" in workspace.done("cache", "ls").out


def test_images_that_a_package_depends_on_are_in_its_context(workspace: Workspace) -> None:
    digest = workspace.digest(workspace.lab.base)
    yml = "image: foo\ndepends:\n  docker-images:\n    target-dir: deps\n    list:\n"
    image = workspace.lab.base.rpartition(":")[0]
    workspace.write(
        "foo",
        build_yml=f"{yml}      - {image}@{digest}\n",
        Dockerfile=f"{BUSYBOX}COPY deps /deps\nRUN ls /deps\n",
    )
    assert f"busybox@{digest}.tar" in workspace.done("build", "foo").err


def test_one_failing_package_stops_only_its_dependents(workspace: Workspace) -> None:
    workspace.write("bad", Dockerfile=f"{BUSYBOX}RUN echo oh no; false\n")
    tag = workspace.tag("bad")
    workspace.write("above", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/bad:{tag}\n")
    workspace.write("good", Dockerfile=f"{BUSYBOX}RUN true\n")
    answer = workspace.farm("build", "--all", ".")
    assert answer.code == 1
    assert 'failed with status 1: "oh no"' in answer.out
    assert "above" in answer.err
    assert "its dependency" in answer.out
    assert "3 packages: 1 built, 2 failed" in answer.out
    alone = workspace.farm("build", "bad")
    assert alone.code == 1
    assert alone.err.splitlines()[-1].startswith("farm: RUN step")


def test_all_packages_below_a_directory_are_built_with_all(workspace: Workspace) -> None:
    for name in ("a", "b"):
        workspace.write(name, Dockerfile=f"{BUSYBOX}RUN echo {name}\n")
    assert "2 packages: 2 built" in workspace.done("build", "--all", ".").out
    assert "2 packages: 2 in the cache" in workspace.done("build", "--all", ".").out
    assert workspace.farm("build", "--all", "a/nothing").code == 2


def test_a_package_of_other_architectures_is_skipped_with_a_message(workspace: Workspace) -> None:
    workspace.write("foo", arches="s390x", Dockerfile=BUSYBOX)
    answer = workspace.done("build", "foo")
    assert "amd64: skipped: not one of its architectures" in answer.out
    assert workspace.done("cache", "ls").out == ""


def test_what_is_in_the_cache_needs_neither_engine_nor_registry(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=f"{BUSYBOX}RUN true\n")
    workspace.done("build", "foo")
    gone = {"FARM_ENGINE": "unix:///nonexistent/docker.sock"}
    assert "in the cache" in workspace.done("build", "foo", **gone).out
    assert workspace.farm("build", "--force", "foo", **gone).code == 3


def test_what_a_registry_cannot_tell_is_built_and_the_reason_is_printed(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=f"{BUSYBOX}RUN true\n")
    there = workspace.variables["FARM_ORG"]
    nowhere = f"localhost:1/{there.rpartition('/')[2]}"
    answer = workspace.done("build", "foo", FARM_ORG=nowhere)
    assert f"{nowhere}/foo:" in answer.out
    assert "not pulled, and built instead: the registry localhost:1 cannot be reached" in answer.out


@pytest.mark.parametrize(
    "words",
    [["--platforms", "linux/vax"], ["--platforms", "amd64", "--skip-platforms", "arm64"], ["--hash", "x:y"]],
)
def test_bad_flags_are_refused_before_anything_is_done(workspace: Workspace, words: list[str]) -> None:
    workspace.write("foo")
    assert workspace.farm("build", *words, "foo").code == 2
    assert not cache_of(workspace).exists()


def test_images_are_exported_from_one_cache_and_imported_into_another(
    built: Workspace, tmp_path: Path
) -> None:
    name, file = built.reference("foo"), tmp_path / "foo.tar"
    built.done("cache", "export", "--outfile", str(file), name)
    other = {"LINUXKIT_CACHE": str(tmp_path / "other")}
    assert name in built.done("cache", "import", str(file), **other).out
    source, copy = (built.done("cache", "ls", "--json", **more).json for more in ({}, other))
    assert {one["digest"] for one in copy} < {one["digest"] for one in source}
    assert built.done("cache", "verify", "--json", **other).json == []
    skopeo("copy", "--quiet", f"oci-archive:{file}:{name}", f"dir:{tmp_path / 'oci'}")
    skopeo("copy", "--quiet", f"docker-archive:{file}", f"dir:{tmp_path / 'docker'}")


def test_archives_of_skopeo_and_docker_are_imported_into_the_cache(
    workspace: Workspace, tmp_path: Path
) -> None:
    base, files = f"docker://{workspace.lab.base}", [tmp_path / "oci.tar", tmp_path / "docker.tar"]
    for kind, file in zip(("oci-archive", "docker-archive"), files, strict=True):
        skopeo("copy", "--quiet", "--src-tls-verify=false", base, f"{kind}:{file}:some/name:{kind}")
        workspace.done("cache", "import", str(file))
    names = [one["name"] for one in workspace.done("cache", "ls", "--json").json]
    assert names == ["docker.io/some/name:docker-archive", "docker.io/some/name:oci-archive"]
    assert "no problems" in workspace.done("cache", "verify").out


def test_the_files_of_an_image_are_exported_as_one_tar(built: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "files.tar"
    name = built.reference("foo")
    built.done("cache", "export", "--format", "filesystem", "--outfile", str(file), name)
    with tarfile.open(file) as out:
        names = out.getnames()
        text = out.extractfile("text")
        assert text is not None
        assert text.read() == b"hello\n"
    assert "bin/busybox" in names
    assert "bin/sh" not in names


def test_an_image_is_pushed_under_another_name_and_removed_once_it_is_published(built: Workspace) -> None:
    name, plain = built.reference("foo"), f"{built.org}/foo:plain"
    kept = built.done("cache", "rm", "--published-only", name)
    assert (kept.out, f"note: {name}: kept" in kept.err) == ("", True)
    pushed = built.done("cache", "push", name, "--remote-name", plain, "--with-arch-tags")
    assert "note: --with-arch-tags: " in pushed.err
    assert built.tags("foo") == ["plain", "plain-amd64"]
    assert built.platforms(plain) == ["amd64"]
    built.done("cache", "push", name)
    built.done("cache", "export", "--platform=linux/amd64", "--outfile", os.devnull, name)
    removed = built.done("-v", "2", "cache", "rm", "-published-only", name, f"{name}-amd64")
    assert removed.out.count("removed") == 2


def test_a_damaged_cache_is_reported_and_can_be_emptied(built: Workspace) -> None:
    blob = max((cache_of(built) / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(bytes(blob.stat().st_size))
    answer = built.farm("cache", "verify")
    assert answer.code == 1
    assert f"sha256:{blob.name} is damaged" in answer.out
    built.done("cache", "clean")
    assert "0 names" in built.done("cache", "verify").out


def test_a_removed_name_is_gone_and_prune_frees_what_it_held(built: Workspace) -> None:
    name = built.reference("foo")
    assert built.farm("cache", "rm", "linuxkit/nothing:1").code == 1
    built.done("cache", "rm", name, f"{name}-amd64")
    assert built.done("cache", "prune", "--json").json == {"files": 0, "bytes": 0}
    assert built.done("cache", "prune", "--grace", "-1", "--json").json["files"] > 3


def test_published_only_cleans_only_published_images(workspace: Workspace) -> None:
    for name in ("foo", "bar"):
        workspace.write(name, Dockerfile=f"{BUSYBOX}RUN echo {name}\n")
    workspace.done("build", "foo", "bar")
    workspace.done("cache", "push", workspace.reference("foo"))
    workspace.done("cache", "clean", "--published-only")
    assert {one["name"] for one in workspace.done("cache", "ls", "--json").json} == {
        workspace.reference("bar"),
        f"{workspace.reference('bar')}-amd64",
    }


def measured(workspace: Workspace, *words: str) -> int:
    """The maximum memory of a command, in KiB."""
    command = [sys.executable, "-c", MEASURE, FARM, *words]
    answer = answer_of(command, workspace.environment(), workspace.directory, 900)
    assert answer.code == 0, answer.out + answer.err
    return int(answer.out.splitlines()[-1])


@pytest.mark.timeout(1200)
def test_a_package_of_300_mb_is_built_pushed_and_pulled_in_bounded_memory(workspace: Workspace) -> None:
    noise = "RUN dd if=/dev/urandom of=/noise bs=1M count=260 && yes | head -c 50000000 > /text\n"
    workspace.write("big", Dockerfile=BUSYBOX + noise)
    name = workspace.reference("big")
    commands = (["build", "big"], ["cache", "push", name], ["cache", "clean"], ["cache", "pull", name])
    memory = {words[-2 if len(words) > 2 else 0]: measured(workspace, *words) for words in commands}
    assert max(memory.values()) < LIMIT_RSS
    size = sum(path.stat().st_size for path in (cache_of(workspace) / "blobs" / "sha256").iterdir())
    assert size > 260 << 20
    assert "no problems" in workspace.done("cache", "verify").out
    shutil.rmtree(cache_of(workspace))


def test_the_cache_is_the_directory_where_linuxkit_looks_for_it(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write("foo", Dockerfile=f"{BUSYBOX}RUN true\n")
    home = {"LINUXKIT_CACHE": "", "HOME": str(tmp_path / "home")}
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    workspace.done("build", "foo", **home, **git)
    assert (tmp_path / "home" / ".linuxkit" / "cache" / "index.json").exists()
    workspace.done("build", "--cache", str(tmp_path / "flag"), "foo")
    assert (tmp_path / "flag" / "index.json").exists()
    assert os.environ.get("HOME") != home["HOME"]
