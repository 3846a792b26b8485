"""farm build and farm cache: packages built on this machine alone, and the cache that linuxkit reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from farm.model import UNAME
from tests.support.farm_command import FARM, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import NewWorkspace

BASE = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
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
    made.variables["FARM_BROKER"] = "redis://127.0.0.1:1/0"  # nothing listens there: no command may use it
    return made


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=workspace.lab.engine_url)
    yield client
    client.close()


def cache_of(workspace: Workspace) -> Path:
    return Path(workspace.variables["LINUXKIT_CACHE"])


def origins(workspace: Workspace, *words: str) -> dict[str, str]:
    """Architecture to the origin of its image."""
    answer = workspace.done("build", "--json", *words).json
    return {image["arch"]: image["origin"] for one in answer for image in one["images"]}


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


def test_a_missing_image_is_built_and_then_found_in_the_cache_and_then_in_the_registry(
    workspace: Workspace,
) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN date > /date\n")
    assert origins(workspace, "foo") == {"amd64": "built"}
    assert origins(workspace, "foo") == {"amd64": "cache"}
    first = workspace.done("cache", "ls").out
    workspace.done("cache", "push", workspace.reference("foo"))
    workspace.done("cache", "clean")
    assert workspace.done("cache", "ls").out == ""
    assert origins(workspace, "foo") == {"amd64": "registry"}
    assert workspace.done("cache", "ls").out == first
    assert origins(workspace, "--force", "foo") == {"amd64": "built"}
    assert workspace.done("cache", "ls").out == first


def test_skopeo_copies_every_image_out_of_the_cache_by_name(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN uname -m > /machine\n")
    workspace.write(
        "bar", Dockerfile="ARG ORG\nFROM ${ORG}/foo:" + workspace.reference("foo").split(":")[-1] + "\n"
    )
    workspace.done("build", "--platforms", "linux/amd64,linux/arm64,linux/s390x", "foo", "bar")
    names = copy_all(workspace, tmp_path)
    foo, bar = workspace.reference("foo"), workspace.reference("bar")
    arches = ("amd64", "arm64", "s390x")
    assert sorted(names) == sorted([foo, bar, *(f"{one}-{arch}" for one in (foo, bar) for arch in arches)])
    index = json.loads(skopeo("inspect", "--raw", f"oci:{cache_of(workspace)}:{bar}"))
    assert [one["platform"]["architecture"] for one in index["manifests"]] == list(arches)
    for arch in arches:
        config = json.loads(
            skopeo("inspect", "--config", "--override-arch", arch, f"oci:{cache_of(workspace)}:{bar}-{arch}")
        )
        assert config["architecture"] == arch
    assert "no problems" in workspace.done("cache", "verify").out


def test_a_package_is_built_from_another_one_that_no_registry_has(workspace: Workspace) -> None:
    workspace.write("lower", Dockerfile=BASE + "RUN uname -m > /machine\n")
    tag = workspace.reference("lower").split(":")[-1]
    workspace.write(
        "upper", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/lower:{tag}\nRUN test $(cat /machine) = $(uname -m)\n"
    )
    arches = {"amd64": "built", "s390x": "built"}
    assert origins(workspace, "--platforms", "amd64,s390x", "upper", "lower") == arches
    assert workspace.repositories() == []


def test_a_build_leaves_no_image_in_the_engine(workspace: Workspace, engine: docker.DockerClient) -> None:
    before = {tag for image in engine.images.list() for tag in image.tags}
    test_a_package_is_built_from_another_one_that_no_registry_has(workspace)
    assert {tag for image in engine.images.list() for tag in image.tags} == before


def test_a_later_build_removes_what_a_killed_build_left_in_the_engine(
    workspace: Workspace, engine: docker.DockerClient
) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN true\n")
    workspace.done("build", "--docker", "foo")
    name = workspace.reference("foo")
    try:
        image = engine.images.get(name)
        image.tag("localhost/farm/build", "1000-0123456789abcdef")
        workspace.done("build", "--force", "foo")
        left = [tag for one in engine.images.list(name="localhost/farm/build") for tag in one.tags]
        assert not [tag for tag in left if tag.startswith("localhost/farm/build:1000-")]
    finally:
        for one in (name, f"{name}-amd64"):
            engine.images.remove(one, force=True)


def test_images_have_both_names_in_the_cache_and_with_docker_in_the_engine(
    workspace: Workspace, engine: docker.DockerClient
) -> None:
    workspace.write("foo", Dockerfile=BASE + 'RUN echo hello > /text\nCMD ["cat", "/text"]\n')
    workspace.done("build", "foo")
    workspace.done("build", "--docker", "--platforms", "amd64,arm64", "foo")
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
    workspace.write("foo", Dockerfile=BASE + steps)
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
    (folder / "Dockerfile").write_text(BASE + "RUN true\n")
    workspace.done("build", str(folder))
    assert f"{workspace.org}/plain:latest" in workspace.done("cache", "ls").out


def test_images_that_a_package_depends_on_are_in_its_context(workspace: Workspace) -> None:
    digest = json.loads(workspace.done("inspect", "--no-sign", "--json", workspace.lab.base).out)["digest"]
    yml = "image: foo\ndepends:\n  docker-images:\n    target-dir: deps\n    list:\n"
    image = workspace.lab.base.rpartition(":")[0]
    workspace.write(
        "foo",
        build_yml=f"{yml}      - {image}@{digest}\n",
        Dockerfile=BASE + "COPY deps /deps\nRUN ls /deps\n",
    )
    assert f"busybox@{digest}.tar" in workspace.done("build", "foo").err


def test_one_failing_package_stops_only_its_dependents(workspace: Workspace) -> None:
    workspace.write("bad", Dockerfile=BASE + "RUN echo oh no; false\n")
    tag = workspace.reference("bad").split(":")[-1]
    workspace.write("above", Dockerfile=f"ARG ORG\nFROM ${{ORG}}/bad:{tag}\n")
    workspace.write("good", Dockerfile=BASE + "RUN true\n")
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
        workspace.write(name, Dockerfile=BASE + f"RUN echo {name}\n")
    assert "2 packages: 2 built" in workspace.done("build", "--all", ".").out
    assert "2 packages: 2 in the cache" in workspace.done("build", "--all", ".").out
    assert workspace.farm("build", "--all", "a/nothing").code == 2


def test_a_package_of_other_architectures_is_skipped_with_a_message(workspace: Workspace) -> None:
    workspace.write("foo", build_yml="image: foo\narches: [s390x]\n", Dockerfile=BASE)
    answer = workspace.done("build", "foo")
    assert "amd64: skipped: not one of its architectures" in answer.out
    assert workspace.done("cache", "ls").out == ""


def test_what_is_in_the_cache_needs_neither_engine_nor_registry(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN true\n")
    workspace.done("build", "foo")
    gone = {"FARM_ENGINE": "unix:///nonexistent/docker.sock"}
    assert "in the cache" in workspace.done("build", "foo", **gone).out
    assert workspace.farm("build", "--force", "foo", **gone).code == 3


def test_a_registry_that_cannot_be_reached_is_an_error_unless_no_pull_is_given(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN true\n")
    there = workspace.variables["FARM_ORG"]
    nowhere = f"localhost:1/{there.rpartition('/')[2]}"
    answer = workspace.farm("build", "foo", FARM_ORG=nowhere)
    assert answer.code == 3
    assert "localhost:1" in answer.err
    assert "built" in workspace.done("build", "--no-pull", "foo", FARM_ORG=nowhere).out


@pytest.mark.parametrize(
    "words",
    [["--platforms", "linux/vax"], ["--platforms", "amd64", "--skip-platforms", "arm64"], ["--hash", "x:y"]],
)
def test_bad_flags_are_refused_before_anything_is_done(workspace: Workspace, words: list[str]) -> None:
    workspace.write("foo", Dockerfile=BASE)
    assert workspace.farm("build", *words, "foo").code == 2
    assert not cache_of(workspace).exists()


def test_images_are_exported_from_one_cache_and_imported_into_another(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN echo hello > /text\n")
    workspace.done("build", "foo")
    name, file = workspace.reference("foo"), tmp_path / "foo.tar"
    workspace.done("cache", "export", "--outfile", str(file), name)
    other = {"LINUXKIT_CACHE": str(tmp_path / "other")}
    assert name in workspace.done("cache", "import", str(file), **other).out
    source, copy = (workspace.done("cache", "ls", "--json", **more).json for more in ({}, other))
    assert {one["digest"] for one in copy} < {one["digest"] for one in source}
    assert workspace.done("cache", "verify", "--json", **other).json == []
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


def test_the_files_of_an_image_are_exported_as_one_tar(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN echo hello > /text && rm /bin/sh\n")
    workspace.done("build", "foo")
    file = tmp_path / "files.tar"
    name = workspace.reference("foo")
    workspace.done("cache", "export", "--format", "filesystem", "--outfile", str(file), name)
    with tarfile.open(file) as out:
        names = out.getnames()
        text = out.extractfile("text")
        assert text is not None
        assert text.read() == b"hello\n"
    assert "bin/busybox" in names
    assert "bin/sh" not in names


def test_a_damaged_cache_is_reported_and_can_be_emptied(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN true\n")
    workspace.done("build", "foo")
    blob = max((cache_of(workspace) / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(bytes(blob.stat().st_size))
    answer = workspace.farm("cache", "verify")
    assert answer.code == 1
    assert f"sha256:{blob.name} is damaged" in answer.out
    workspace.done("cache", "clean")
    assert "0 names" in workspace.done("cache", "verify").out


def test_a_removed_name_is_gone_and_prune_frees_what_it_held(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN true\n")
    workspace.done("build", "foo")
    name = workspace.reference("foo")
    assert workspace.farm("cache", "rm", "linuxkit/nothing:1").code == 1
    workspace.done("cache", "rm", name, f"{name}-amd64")
    assert workspace.done("cache", "prune", "--json").json == {"files": 0, "bytes": 0}
    assert workspace.done("cache", "prune", "--grace", "-1", "--json").json["files"] > 3


def test_published_only_cleans_only_published_images(workspace: Workspace) -> None:
    for name in ("foo", "bar"):
        workspace.write(name, Dockerfile=BASE + f"RUN echo {name}\n")
    workspace.done("build", "foo", "bar")
    workspace.done("cache", "push", workspace.reference("foo"))
    workspace.done("cache", "clean", "--published-only")
    assert {one["name"] for one in workspace.done("cache", "ls", "--json").json} == {
        workspace.reference("bar"),
        f"{workspace.reference('bar')}-amd64",
    }


def measured(workspace: Workspace, *words: str) -> int:
    """The maximum memory of a command, in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, FARM, *words],
        cwd=workspace.directory,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.mark.timeout(1200)
def test_a_package_of_500_mb_is_built_pushed_and_pulled_in_bounded_memory(workspace: Workspace) -> None:
    noise = "RUN dd if=/dev/urandom of=/noise bs=1M count=300 && yes | head -c 209715200 > /text\n"
    workspace.write("big", Dockerfile=BASE + noise)
    name = workspace.reference("big")
    commands = (["build", "big"], ["cache", "push", name], ["cache", "clean"], ["cache", "pull", name])
    memory = {words[-2 if len(words) > 2 else 0]: measured(workspace, *words) for words in commands}
    assert max(memory.values()) < LIMIT_RSS
    size = sum(path.stat().st_size for path in (cache_of(workspace) / "blobs" / "sha256").iterdir())
    assert size > 300 << 20
    assert "no problems" in workspace.done("cache", "verify").out
    shutil.rmtree(cache_of(workspace))


def test_the_cache_is_the_directory_where_linuxkit_looks_for_it(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN true\n")
    home = {"LINUXKIT_CACHE": "", "HOME": str(tmp_path / "home")}
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    workspace.done("build", "foo", **home, **git)
    assert (tmp_path / "home" / ".linuxkit" / "cache" / "index.json").exists()
    workspace.done("build", "--cache", str(tmp_path / "flag"), "foo")
    assert (tmp_path / "flag" / "index.json").exists()
    assert os.environ.get("HOME") != home["HOME"]


def test_every_architecture_of_the_lab_can_be_built(workspace: Workspace) -> None:
    workspace.write("foo", Dockerfile=BASE + "RUN echo machine=$(uname -m)\n")
    answer = workspace.done("build", "--skip-platforms", "linux/amd64", "foo")
    assert all(f"machine={UNAME[arch]}" in answer.err for arch in ("arm64", "s390x"))
    assert "machine=x86_64" not in answer.err
