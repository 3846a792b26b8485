"""`farm pkg` replaces `linuxkit pkg`: its flags have the same effect on a farm."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from farm.model import Reference
from tests.support.farm_command import BUSYBOX, FARM, answer_of
from tests.support.git_repos import commit, commit_files, git, make_repository, write

if TYPE_CHECKING:
    from tests.support.farm_command import Workspace

ONE = "image: {}\narches: [amd64]\n"
NETWORKED = f"{BUSYBOX}RUN ls /sys/class/net | grep -v '^lo$'\n"
"""Builds only if RUN steps have a network."""


@pytest.fixture(scope="module")
def shared(lasting: Workspace) -> Workspace:
    """A workspace whose packages no test changes."""
    lasting.variables["FARM_CACHE"] = str(lasting.directory.parent / "cache")
    lasting.write("one", arches="amd64")
    lasting.write("two", arches="amd64, arm64")
    lasting.write("net", Dockerfile=NETWORKED, arches="amd64")
    lasting.done("trust", "init", "two")
    return lasting


def signature(workspace: Workspace, reference: str) -> str:
    """Whether a tag is signed."""
    return str(workspace.done("inspect", "--json", reference).json["signature"])


def short(workspace: Workspace, package: str) -> str:
    """The reference of a package, in the short form that is printed."""
    return Reference.parse(workspace.reference(package)).familiar


def platforms(workspace: Workspace, package: str) -> list[str]:
    """The architectures of a package's index."""
    return workspace.platforms(workspace.reference(package))


def test_images_only_and_then_the_index_only_as_in_the_document_of_2021(shared: Workspace) -> None:
    reference = shared.reference("two")
    tag = shared.tag("two")
    pushed = shared.done("pkg", "push", "--manifest=false", "two")
    assert "two: pushed" in pushed.out
    assert shared.tags("two") == [f"{tag}-amd64", f"{tag}-arm64"]
    again = shared.done("pkg", "push", "-manifest=false", "two", FARM_BROKER="redis://127.0.0.1:1/0")
    assert "all images exist" in again.out
    shared.done("pkg", "push", "--image=false", "--manifest", "two")
    assert platforms(shared, "two") == ["amd64", "arm64"]
    assert signature(shared, reference) == "signed"


def test_sign_false_publishes_unsigned(shared: Workspace) -> None:
    shared.done("pkg", "push", "-sign=false", "-hash=unsigned", "one")
    assert signature(shared, f"{shared.org}/one:unsigned") == "unsigned"


def test_a_base_image_whose_index_is_not_published_is_refused(shared: Workspace) -> None:
    base = f"{BUSYBOX}RUN date\n"
    shared.write("base", Dockerfile=base, arches="amd64")
    reference = shared.reference("base")
    shared.write("user", Dockerfile=f"FROM {reference}\n", arches="amd64")
    answer = shared.farm("pkg", "push", "--manifest=false", "base", "user")
    assert (
        answer.code,
        "is not published for amd64, and its index is not part of this run" in answer.err,
    ) == (2, True)


def test_manifest_publishes_existing_images_and_adds_later_ones(own: Workspace) -> None:
    own.write("part", arches="amd64, arm64")
    nothing = own.farm("pkg", "manifest", "-disable-content-trust", "part")
    assert (nothing.code, own.tags("part")) == (2, [])
    own.done("pkg", "push", "-manifest=false", "-platforms", "linux/amd64", "part")
    own.done("pkg", "manifest", "-disable-content-trust", "part")
    assert platforms(own, "part") == ["amd64"]
    own.done("pkg", "push", "-manifest=false", "-skip-platforms=linux/amd64", "part")
    own.done("pkg", "index", "-disable-content-trust", "part")
    assert platforms(own, "part") == ["amd64", "arm64"]


def test_platforms_of_a_push_override_build_yml(own: Workspace) -> None:
    own.write("wide", arches="amd64")
    own.done("pkg", "push", "-disable-content-trust", "--platforms=linux/arm64", "wide")
    assert platforms(own, "wide") == ["arm64"]
    own.done("pkg", "push", "-disable-content-trust", "wide")
    assert platforms(own, "wide") == ["amd64", "arm64"]


def test_platforms_of_a_build_override_build_yml(own: Workspace) -> None:
    own.write("wide", arches="amd64")
    words = ("pkg", "build", "--platforms=linux/arm64", "wide")
    assert own.done(*words, "--dry-run").out == f"{short(own, 'wide')} arm64: pull it or build it\n"
    assert own.done(*words).out.splitlines()[-1] == f"{short(own, 'wide')} arm64: built"
    assert f"{own.reference('wide')}-arm64" in own.done("cache", "ls").out


def test_skip_platforms_builds_the_other_architectures_of_the_package(own: Workspace) -> None:
    own.write("usual", build_yml="image: usual\n")
    own.write("only", arches="amd64")
    own.write("far", arches="riscv64")
    words = ("pkg", "build", "--skip-platforms=linux/amd64", "usual", "only", "far")
    planned = own.done(*words, "--dry-run", FARM_ARCHES="amd64,arm64")
    lines = [f"{short(own, 'usual')} arm64: pull it or build it"]
    assert planned.out.splitlines() == [*lines, f"{short(own, 'far')} riscv64: pull it or build it"]
    built = own.done(*words[:-1], FARM_ARCHES="amd64,arm64")
    assert f"{short(own, 'usual')} arm64: built" in built.out
    for answer in (planned, built):
        assert f"warning: {own.org}/only: skipped: no other architectures" in answer.err
        assert short(own, "only") not in answer.out


def test_a_package_with_blank_arches_is_skipped_by_every_verb_and_keeps_its_tag(own: Workspace) -> None:
    own.write("blank", build_yml="image: blank\narches:\n")
    for words in ("plan --no-sign", "push --no-sign", "build", "pkg manifest -disable-content-trust"):
        answer = own.done(*words.split(), "blank")
        assert f"warning: {own.org}/blank: skipped: no architectures" in answer.err
        assert short(own, "blank") not in answer.out
    assert own.tags("blank") == []
    assert own.done("show-tag", "blank").out == f"{own.reference('blank')}\n"


def test_by_default_a_push_is_for_all_architectures_and_a_build_for_this_machines_unless_emulate_is_set(
    own: Workspace,
) -> None:
    own.write("all", arches="amd64, arm64")

    def built(emulate: str) -> list[str]:
        lines = own.done("pkg", "build", "-force", "all", FARM_EMULATE=emulate).out.splitlines()
        return sorted(line.split()[-2].rstrip(":") for line in lines if line.endswith(": built"))

    assert built("no") == ["amd64"]
    assert built("yes") == ["amd64", "arm64"]
    own.done("pkg", "push", "-disable-content-trust", "all")
    assert platforms(own, "all") == ["amd64", "arm64"]


def test_a_push_of_another_commit_builds_the_content_of_that_commit(own: Workspace, tmp_path: Path) -> None:
    copying = f"{BUSYBOX}COPY text /text\n"
    own.write("past", Dockerfile=copying, arches="amd64", text="before")
    tag = own.reference("past")
    own.write("past", Dockerfile=copying, arches="amd64", text="after")
    own.done("pkg", "push", "-disable-content-trust", "-hash-commit=HEAD~1", "past")
    own.done("cache", "pull", tag)
    own.done("cache", "export", "--format", "filesystem", "--outfile", str(tmp_path / "files.tar"), tag)
    with tarfile.open(tmp_path / "files.tar") as files:
        held = files.extractfile("text")
        assert held is not None
        assert held.read() == b"before"


def test_a_kernel_is_built_and_pushed_as_in_upstreams_makefile(own: Workspace, tmp_path: Path) -> None:
    """Its build.yml is below the package, and its hash is made of other files; here with a submodule, too."""
    library = commit_files(tmp_path / "library", {"patch": ""})
    kernel, name = own.directory / "kernel", "linux"
    text = f"ARG V\n{BUSYBOX}ARG V\nCOPY / /src/\nRUN cat /src/$V/config /src/$V/patches/patch\n"
    yml = f"image: {name}\ndockerfile: common/Dockerfile\narches: [amd64]\n"
    write(own.directory, {"kernel/common/k.yml": yml, "kernel/common/Dockerfile": text})
    write(own.directory, {"kernel/6.12.x/config": "", "kernel/6.12.x/build-args": "V=6.12.x\n"})
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(own.directory, *add, str(library), "kernel/6.12.x/patches")
    own.commit()
    words = (str(kernel), "--build-yml", "./common/k.yml", "--hash", "ab" * 20)
    more = ("--tag", "6.12.59-{{.Hash}}", "--build-arg-file", str(kernel / "6.12.x/build-args"))
    own.done("pkg", "build", "--platforms", "linux/amd64", *words, *more)
    own.done("pkg", "push", "--force", "--disable-content-trust", *words, *more)
    assert own.tags(name) == [f"6.12.59-{'ab' * 20}", f"6.12.59-{'ab' * 20}-amd64"]


def test_a_directory_that_git_ignores_is_built_and_pushed_under_the_hash_that_is_given(
    own: Workspace,
) -> None:
    """As in EVE's last step, which makes the directory of a package; the worker verifies its files too."""
    write(own.directory, {".gitignore": "dist/\n"})
    own.commit()
    files = {"build.yml": ONE.format("whole"), "Dockerfile": f"{BUSYBOX}COPY made /\n", "made": ""}
    write(own.directory, {f"dist/1.0/{name}": text for name, text in files.items()})
    flags = ("--hash-path", str(own.directory), "--hash", "1.0-kvm", "dist/1.0")
    refused = own.farm("pkg", "push", "-disable-content-trust", "dist/1.0")
    assert refused.code == 2
    assert "git ignores it (.gitignore:1: dist/)" in refused.err
    own.done("pkg", "build", *flags)
    own.done("pkg", "push", "-disable-content-trust", *flags)
    assert own.tags("whole") == ["1.0-kvm", "1.0-kvm-amd64"]


def test_a_worker_builds_the_content_of_files_in_lfs_and_files_that_docker_would_ignore(
    own: Workspace,
) -> None:
    text = "content\n"
    oid = hashlib.sha256(text.encode()).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(text)}\n"
    git(own.directory, "config", "filter.lfs.clean", "cat pointer")
    write(own.directory, {"pointer": pointer, ".gitattributes": "*.bin filter=lfs -text\n"})
    write(own.directory, {"stored/x.bin": text, "stored/.dockerignore": "*\n"})
    steps = "COPY x.bin .dockerignore /\nRUN grep content /x.bin\n"
    own.write("stored", Dockerfile=BUSYBOX + steps, arches="amd64")
    pushed = own.done("pkg", "push", "-disable-content-trust", "stored")
    assert "stored/.dockerignore has no effect" in pushed.err
    assert own.tags("stored") == [own.tag("stored"), f"{own.tag('stored')}-amd64"]


def test_plan_and_push_warn_of_a_hash_that_the_push_makes_stale(own: Workspace) -> None:
    own.write("low", arches="amd64")
    old = own.reference("low")
    own.write("high", Dockerfile=f"FROM {old}\n", arches="amd64")
    assert "warning" not in own.done("plan", "--no-sign", "low", "high").err
    own.write("low", Dockerfile=f"{BUSYBOX}RUN true\n", arches="amd64")
    warning = (
        f"warning: {own.org}/high: its base image is {old}, but this push makes {own.reference('low')}\n"
    )
    assert own.done("plan", "--no-sign", "low", "high").err == warning
    pushed = own.farm("push", "--no-sign", "low", "high", FARM_BROKER="redis://127.0.0.1:1/0")
    assert pushed.err.startswith(warning)


@pytest.mark.parametrize("verb", ["build", "push"])
def test_the_network_reaches_the_build(shared: Workspace, verb: str) -> None:
    words = ("pkg", verb, "-disable-content-trust", f"-hash={verb}net")
    assert shared.farm(*words, "net").code == 1
    assert shared.farm(*words, "-network", "-nonetwork", "net").code == 2
    assert shared.farm(*words, "-nonetwork=true", "net").code == 1
    shared.done(*words, "-network", "net")


def test_nonetwork_overrides_build_yml(own: Workspace) -> None:
    own.write("net", Dockerfile=NETWORKED, build_yml=ONE.format("net") + "network: true\n")
    assert own.farm("pkg", "build", "-nonetwork", "net").code == 1
    own.done("pkg", "build", "net")


def test_the_dockerfile_and_build_arguments_reach_the_build(own: Workspace) -> None:
    other = f'{BUSYBOX}ARG A\nARG B\nRUN test "$A/$B" = new/kept\n'
    yml = ONE.format("args") + "buildArgs: [A=old, B=kept]\n"
    own.write("args", Dockerfile="FROM nosuch.invalid/x\n", Other=other, build_yml=yml)
    (own.directory.parent / "file").write_text("# the new one\nA=new\n")
    words = ("-dockerfile", "Other", "-build-arg-file", str(own.directory.parent / "file"), "args")
    own.done("pkg", "push", "-disable-content-trust", *words)
    own.done(
        "push",
        "--no-sign",
        "--force",
        *(word.replace("-", "--", 1) if word[0] == "-" else word for word in words),
    )
    own.done("pkg", "build", "-force", *words)


def test_disable_cache_ignores_the_layers_of_earlier_builds(own: Workspace) -> None:
    own.write(
        "fresh",
        Dockerfile=f"{BUSYBOX}RUN cat /proc/sys/kernel/random/uuid > /id\n",
        arches="amd64",
    )

    def built(*words: str) -> str:
        own.done("pkg", "push", "-disable-content-trust", "-force", *words, "fresh")
        return own.digest(own.reference("fresh"))

    first = built()
    assert built("-enable-cache") == first
    assert built("-disable-cache") != first


def test_the_git_tag_on_head_is_the_release(own: Workspace) -> None:
    own.write("rel", arches="amd64")
    git(own.directory, "tag", "v1.0")
    answer = own.done("pkg", "push", "-disable-content-trust", "rel")
    assert "released as v1.0" in answer.err
    assert "v1.0" in own.tags("rel")
    own.done("pkg", "push", "-disable-content-trust", "-release=v1.1", "rel")
    assert {"v1.0", "v1.1"} <= set(own.tags("rel"))
    git(own.directory, "tag", "v2.0")
    several = own.farm("pkg", "push", "-disable-content-trust", "rel")
    assert (several.code, "v1.0, v2.0" in several.err) == (2, True)
    assert own.done("pkg", "push", "-disable-content-trust", "-release=", "rel").code == 0


def test_a_git_tag_of_one_repository_does_not_release_a_package_of_another(own: Workspace) -> None:
    own.write("here", arches="amd64")
    git(own.directory, "tag", "v9")
    there = own.directory.parent / "there"
    write(make_repository(there), {"build.yml": ONE.format("there"), "Dockerfile": BUSYBOX})
    commit(there)
    refused = own.farm("pkg", "push", "-disable-content-trust", "here", str(there))
    assert (refused.code, f"{there}: none" in refused.err) == (2, True)
    assert own.repositories() == []
    own.done("pkg", "push", "-disable-content-trust", "-release=", "here", str(there))
    assert "v9" not in own.tags("here") + own.tags("there")


def test_a_dry_run_does_nothing(shared: Workspace) -> None:
    before = shared.repositories()
    pushed = shared.done("pkg", "push", "-dry-run", "-sign=false", "-hash=dry", "one")
    assert "one:dry  build amd64" in pushed.out
    built = shared.done("pkg", "build", "-dry-run", "-hash=dry", "one")
    assert "one:dry amd64: pull it or build it" in built.out
    assert shared.repositories() == before
    assert "one:dry" not in shared.done("cache", "ls").out


def test_build_uses_the_cache_then_the_registry_then_builds(own: Workspace) -> None:
    own.write("look", Dockerfile=f"{BUSYBOX}RUN date > /date\n", arches="amd64")

    def origin(*words: str) -> str:
        return own.done("pkg", "build", *words, "look").out.splitlines()[-1].rpartition(": ")[2]

    assert origin() == "built"
    first = own.done("cache", "ls").out
    assert origin() == "in the cache"
    assert origin("-force") == "built"
    own.done("cache", "push", own.reference("look"))
    elsewhere = str(own.directory.parent / "other")
    assert origin("-cache", elsewhere) == "pulled"
    assert own.done("cache", "ls").out == own.done("cache", "ls", FARM_CACHE=elsewhere).out == first
    third = ("-cache", str(own.directory.parent / "third"))
    assert origin(*third, "-pull=false") == "built"
    assert own.farm("pkg", "build", "-pull", "-force", "look").code == 2


def test_build_with_the_word_push_pushes_as_in_the_document_of_2021(own: Workspace) -> None:
    own.write("word", arches="amd64")
    words = ("pkg", "build", "-disable-content-trust", "-hash=foo", "push")
    answer = answer_of([FARM, *words], own.environment(), own.directory / "word")
    assert (answer.code, "read as: farm pkg push ." in answer.err) == (0, True)
    assert own.tags("word") == ["foo", "foo-amd64"]
    assert not Path(own.variables["FARM_CACHE"]).exists()
    own.done("pkg", "build", "-push", "-disable-content-trust", "-hash=bar", "word")
    assert "bar" in own.tags("word")


def test_a_push_with_docker_also_loads_the_images_into_the_engine(own: Workspace) -> None:
    own.write("loaded", Dockerfile=f"{BUSYBOX}RUN date > /date\n", arches="amd64")
    words = ("pkg", "push", "--push", "--docker", "--disable-content-trust", "loaded")
    assert "note: --docker: would then load" in own.done(*words, "--dry-run").err
    assert own.done(*words).out.splitlines()[-1] == f"{short(own, 'loaded')} amd64: pulled, in the engine"
    name = own.reference("loaded")
    with closing(docker.DockerClient(base_url=own.lab.engine_url)) as engine:
        assert engine.images.get(name).id == engine.images.get(f"{name}-amd64").id
        for one in (name, f"{name}-amd64"):
            engine.images.remove(one)


def test_nobuild_pushes_the_images_in_the_cache(own: Workspace) -> None:
    own.write("kept", arches="amd64")
    missing = own.farm("pkg", "push", "-nobuild", "-disable-content-trust", "kept")
    assert own.farm("pkg", "push", "-nobuild", "-manifest=false", "kept").code == 1
    assert (missing.code, own.tags("kept")) == (2, [])
    own.done("pkg", "build", "kept")
    answer = own.done("pkg", "push", "-nobuild", "-disable-content-trust", "kept")
    assert "pushed from the cache" in answer.out
    tag = own.tag("kept")
    assert own.tags("kept") == [tag, f"{tag}-amd64"]
    assert own.farm("pkg", "push", "-nobuild", "-force", "kept").code == 2


def test_a_dry_run_of_nobuild_prints_what_would_be_pushed_from_the_cache(own: Workspace) -> None:
    own.write("dry", arches="amd64, arm64")
    words = ("pkg", "push", "-nobuild", "-disable-content-trust", "dry")
    own.done("pkg", "build", "-platforms=linux/amd64", "dry")
    familiar = short(own, "dry")
    image, index = (
        f"{familiar}-amd64  push it from the cache",
        f"{familiar}  all images exist: publish the index",
    )
    assert own.done(*words, "-dry-run").out.splitlines() == [image, index]
    assert own.done(*words, "-dry-run", "-manifest=false").out.splitlines() == [image]
    assert own.tags("dry") == []
    own.done(*words)
    assert own.done(*words, "-dry-run").out.splitlines() == [f"{familiar}  published"]


def test_nobuild_pushes_only_the_given_platforms(own: Workspace) -> None:
    own.write("some", arches="amd64, arm64")
    own.done("pkg", "build", "-platforms=linux/amd64,linux/arm64", "some")
    words = ("pkg", "push", "-nobuild", "-disable-content-trust", "some")
    lacking = own.farm(*words, "-platforms=linux/amd64,linux/s390x")
    assert (lacking.code, "-s390x is neither in the cache" in lacking.err, own.tags("some")) == (1, True, [])
    own.done(*words, "-platforms=linux/arm64")
    assert platforms(own, "some") == ["arm64"]
    own.done(*words, "-skip-platforms=linux/arm64", "-manifest=false")
    tag = own.tag("some")
    assert own.tags("some") == [tag, f"{tag}-amd64", f"{tag}-arm64"]
    for more in ((), ("-manifest=false",)):
        over = own.done(*words, "-skip-platforms=linux/amd64,linux/arm64", *more)
        assert f"warning: {own.org}/some: skipped: no other architectures" in over.err
    assert platforms(own, "some") == ["arm64"]


@pytest.mark.parametrize("flag", ["-platforms", "-skip-platforms"])
def test_platforms_are_refused_where_only_the_index_is_published(shared: Workspace, flag: str) -> None:
    answer = shared.farm("pkg", "push", "-image=false", f"{flag}=linux/amd64", "one")
    assert (answer.code, f"-{flag}: --image=false publishes the index of all" in answer.err) == (2, True)


def test_build_flags_are_noted_where_nothing_is_built(own: Workspace) -> None:
    own.write("idle", arches="amd64")
    (own.directory.parent / "file").write_text("A=new\n")
    own.done("pkg", "push", "-manifest=false", "idle")
    flags = [f"-build-arg-file={own.directory.parent}/file", "-nonetwork", "-enable-cache"]
    for nothing, more in (("-nobuild", []), ("-image=false", ["-force"])):
        words = ("-dry-run", "-disable-content-trust", *flags, *more, "idle")
        names = [flag.partition("=")[0] for flag in (*flags, *more)]
        notes = own.done("pkg", "push", nothing, *words).err.splitlines()
        assert notes == [f"note: -{name}: -{nothing} builds nothing" for name in names]


def test_a_reference_to_another_package_is_resolved_and_orders_the_builds(own: Workspace) -> None:
    own.write("low", Dockerfile=f"{BUSYBOX}RUN echo low > /low\n", arches="amd64")
    yml = ONE.format("high") + "buildArgs: ['LOW=@lkt:pkg:../low']\n"
    own.write("high", Dockerfile="ARG LOW\nFROM ${LOW}\nRUN grep low /low\n", build_yml=yml)
    planned = own.done("plan", "--no-sign", "high", "low")
    assert [line.split()[0].rpartition("/")[2][:3] for line in planned.out.splitlines()[:2]] == ["low", "hig"]
    own.done("pkg", "push", "-disable-content-trust", "high", "low")


def test_remote_tag_copies_the_exact_bytes_to_another_name(own: Workspace) -> None:
    own.write("src", arches="amd64, arm64")
    own.done("push", "--no-sign", "src")
    source = own.reference("src")
    here, elsewhere = f"{own.org}/src:v1", f"{own.org}/copies/src:v1"
    for target in (here, elsewhere):
        assert "is " in own.done("pkg", "remote-tag", source, target).out
        assert own.digest(target) == own.digest(source)
        assert "existed already" in own.done("pkg", "remote-tag", source, target).out
    own.write("src", Dockerfile=f"{BUSYBOX}RUN date > /new\n", arches="amd64, arm64")
    own.done("push", "--no-sign", "src")
    moved = own.done("pkg", "remote-tag", own.reference("src"), here)
    assert "referred to something else before" in moved.err
    assert own.digest(here) == own.digest(own.reference("src"))
    pulled = own.done("cache", "pull", elsewhere)
    assert elsewhere in pulled.out
    assert own.farm("pkg", "remote-tag", f"{own.org}/src:none", here).code == 1


def test_remote_tag_copies_between_registries_with_a_separate_login(own: Workspace) -> None:
    own.write("guard", arches="amd64")
    own.done("push", "--no-sign", "guard")
    target = f"{own.lab.guarded_registry}/copied/{own.org.split('/')[1]}:v1"
    assert own.farm("pkg", "remote-tag", own.reference("guard"), target).code == 4
    user, password = own.lab.guarded_login
    creds = f"http://{own.lab.guarded_registry}/={user}:{password}"
    answer = own.done("pkg", "remote-tag", "-registry-creds", creds, own.reference("guard"), target)
    assert "FARM_REGISTRY_CREDS_FILE" in answer.err
    secret = own.directory.parent / "creds"
    secret.write_text(f"{creds}\n")
    described = own.done("inspect", "--json", target, FARM_REGISTRY_CREDS_FILE=str(secret)).json
    assert described["digest"] == own.digest(own.reference("guard"))


def test_a_mirror_is_read_first_and_then_the_registry(own: Workspace) -> None:
    own.write("mir", arches="amd64")
    own.done("push", "--no-sign", "mir")
    org = own.org.replace(own.lab.registry, "nowhere.invalid")
    mirror = f"nowhere.invalid=http://{own.lab.registry}"
    built = own.done("pkg", "build", "-mirror", mirror, "-org", org, "mir")
    assert built.out.splitlines()[-1].endswith("pulled")
    reference = own.reference("mir").replace(own.lab.registry, "nowhere.invalid")
    pulled = own.done("cache", "pull", reference, LINUXKIT_MIRROR=mirror)
    assert pulled.out.startswith(reference)
    # With a mirror that does not answer, or lacks the image, the registry itself is asked.
    for away in ("http://127.0.0.1:1", f"http://{own.lab.registry}/elsewhere"):
        assert own.done("cache", "pull", own.reference("mir"), LINUXKIT_MIRROR=away).code == 0
    assert own.farm("cache", "pull", reference, LINUXKIT_MIRROR="nowhere.invalid=ftp://x").code == 2


def test_a_passphrase_command_of_linuxkits_configuration_is_used(workspace: Workspace) -> None:
    workspace.write("sig", arches="amd64")
    workspace.done("trust", "init", "sig")
    home = workspace.directory.parent / "home"
    write_config(home, f"printf '%s' '{workspace.lab.signing_passphrase}' | cat")
    workspace.done("pkg", "push", "sig", HOME=str(home), FARM_SIGNING_PASSPHRASE="")
    assert signature(workspace, workspace.reference("sig")) == "signed"
    workspace.write("sig", Dockerfile=f"{BUSYBOX}RUN date\n", arches="amd64")
    workspace.done("down")
    write_config(home, "echo wrong")
    assert workspace.farm("pkg", "push", "sig", HOME=str(home), FARM_SIGNING_PASSPHRASE="").code == 4


def write_config(home: Path, command: str) -> None:
    """LinuxKit's configuration of 2021."""
    shutil.rmtree(home, ignore_errors=True)
    folder = home / ".moby" / "linuxkit"
    folder.mkdir(parents=True)
    quoted = json.dumps(command)
    (folder / "config.yml").write_text(f"pkg:\n  content-trust-passphrase-command: {quoted}\n")
