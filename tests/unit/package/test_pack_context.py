from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import ContextError, DirtyError, GitError, InputError
from farm.model import Job, Package, Reference
from farm.package.check_files import check_files
from farm.package.context_entries import context_entries, list_contents
from farm.package.forms import blob_id
from farm.package.pack_context import pack_context
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from farm.package.tarball import Context, Entry, TarWriter
from farm.package.tree_hash import context_hash
from farm.package.tree_paths import DIRECTORY, FILE, SYMLINK
from farm.package.verify_context import verify_context
from tests.support.git_repos import commit, commit_files, git, write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def _package(directory: str, **options: str | bool) -> Package:
    return read_packages([directory], TagOptions(**options))[0]  # type: ignore[arg-type]


def _packed(package: Package) -> io.BytesIO:
    into = io.BytesIO()
    context = pack_context(package, into)
    plain = into.getvalue()
    assert context == Context(f"sha256:{hashlib.sha256(plain).hexdigest()}", len(plain))
    return io.BytesIO(plain)


def _names(packed: io.BytesIO) -> set[str]:
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        return set(tar.getnames())


def _job(package: Package) -> Job:
    hash_, tree, tag = package.hash, package.tree, package.yml.tag
    names = ("r1", package.image, package.reference, "amd64", hash_, tree, tag, "sha256:")
    message = Job(*names, *package.layout).to_json()
    return Job.from_json(json.loads(json.dumps(message)))


@pytest.mark.usefixtures("repository")
def test_a_context_has_the_package_at_its_top_and_extra_sources_at_their_destinations() -> None:
    with tarfile.open(fileobj=_packed(_package("pkg/extra2"))) as tar:
        own = [
            "Dockerfile",
            "build.yml",
            "lib",
            "lib/a.c",
            "lib/sub",
            "lib/sub/b.c",
            "vendor",
            "vendor/plain",
        ]
        plain = [f"vendor/plain/{name}" for name in (".gitignore", "Dockerfile", "build.yml", "hello")]
        assert tar.getnames() == [*own, *plain]
        for item in tar:
            mode = 0o755 if item.isdir() else 0o644
            assert (item.mode, item.uid, item.gname) == (mode, 0, ""), item.name


def test_the_working_directory_is_not_read(repository: Path) -> None:
    before = _packed(_package("pkg/plain")).getvalue()
    write(repository, {"pkg/plain/x.o": "ignored", "pkg/plain/out/y": "ignored"})
    git(repository, "update-index", "--assume-unchanged", "pkg/plain/hello")
    write(repository, {"pkg/plain/hello": "changed behind git's back"})
    assert _packed(_package("pkg/plain")).getvalue() == before


def test_a_context_has_the_time_of_the_last_commit_that_changed_it(repository: Path) -> None:
    write(repository, {"common/lib/a.c": "int c;\n"})
    commit(repository, date="2024-02-02T00:00:00Z")
    write(repository, {"elsewhere": ""})
    commit(repository, date="2024-03-03T00:00:00Z")
    for name, date in (("plain", 1704067200), ("extra", 1706832000)):
        with tarfile.open(fileobj=_packed(_package(f"pkg/{name}"))) as tar:
            assert {item.mtime for item in tar} == {date}


def test_uncommitted_changes_are_not_packed(repository: Path) -> None:
    write(repository, {"common/lib/a.c": "changed"})
    with pytest.raises(DirtyError, match="pkg/extra: has uncommitted changes"):
        _packed(_package("pkg/extra"))


def test_a_package_outside_git_is_not_packed(tmp_path: Path) -> None:
    write(tmp_path, {"build.yml": "image: x\n"})
    with pytest.raises(InputError, match="is not in git"):
        _packed(_package(str(tmp_path)))


def test_a_package_outside_git_is_packed_under_the_hash_that_is_given(tmp_path: Path) -> None:
    """The worker verifies the tree of its files, with extra sources, modes and links."""
    own = {"build.yml": "image: x\nextra-sources: [../lib:vendor/lib]\n", "bin/run": "#!/bin/sh\n"}
    write(tmp_path, {**{f"x/{name}": text for name, text in own.items()}, "lib/a.c": ""})
    (tmp_path / "x/bin/run").chmod(0o755)
    (tmp_path / "x/link").symlink_to("bin/run")
    (tmp_path / "x/empty").mkdir()
    package = _package(str(tmp_path / "x"), hash="v1")
    packed = _packed(package)
    verify_context(packed, _job(package))
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        modes = {item.name: item.mode for item in tar if not item.isdir()}
    files = {"build.yml": 0o644, "bin/run": 0o755, "link": 0o777, "vendor/lib/a.c": 0o644}
    assert modes == files
    write(tmp_path, {"lib/a.c": "changed\n"})
    with pytest.raises(ContextError, match="they changed meanwhile"):
        _packed(package)


def test_what_git_could_not_store_is_refused_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, {"build.yml": "image: x\n"})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: is not a file, symbolic link or directory"):
        _package(str(tmp_path), hash="v1")


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    "options",
    [
        {"hash": 40 * "a", "tag": "6.12.59-{{.Hash}}"},
        {"hash": f"{40 * 'a'}-dirty"},
        {"tag": f"6.12.59-{40 * 'a'}"},
        {"hash_path": "pkg"},
    ],
)
def test_the_name_of_a_tag_and_the_tree_that_is_built_are_separate(options: dict[str, str]) -> None:
    """As upstream's kernels need it, whose Makefile computes a hash of its own."""
    usual, named = _package("pkg/plain"), _package("pkg/plain", **options)
    packed = _packed(named)
    assert named.reference != usual.reference
    assert packed.getvalue() == _packed(usual).getvalue()
    verify_context(packed, _job(named))
    packed.seek(0)
    with pytest.raises(ContextError, match=r"has the hash 1059586a.*, but its job names bbbb"):
        verify_context(packed, replace(_job(named), tree=40 * "b"))


def _with_sources(repository: Path, *sources: str) -> Package:
    text = "image: s\nextra-sources:\n" + "".join(f"- {source}\n" for source in sources)
    files = {"build.yml": text, "own/file": "", "a": "", "Dockerfile": "FROM scratch\n"}
    write(repository, {f"pkg/s/{name}": content for name, content in files.items()})
    commit(repository)
    return _package("pkg/s")


@pytest.mark.parametrize(
    "sources",
    [
        ["../../common/lib:own/other"],
        ["../../common/lib:x/y/z", "../plain:x/y/w", "../tree:x-y"],
        ["../../common/lib:lib", "../plain:lib/plain"],
        ["../plain:lib/plain", "../../common/lib:lib"],
        ["../plain:lib/sub/plain", "../../common/lib:lib"],
        ["../../common/lib:/own"],
        ["../../common/lib:."],
        ["../../common/lib:/", "../tree:./lib", "../plain/:lib/x"],
        ["../../common/lib:x", "../tree:/x/"],
        ["../tree:sub", "../../common/lib:/"],
    ],
)
def test_destinations_may_be_beside_and_within_one_another(sources: list[str], repository: Path) -> None:
    package = _with_sources(repository, *sources)
    packed = _packed(package)
    verify_context(packed, _job(package))
    packed.seek(0)
    with pytest.raises(ContextError, match=r"but its job names|of no part"):
        verify_context(packed, replace(_job(package), destinations=("elsewhere",) * len(sources)))


def test_sources_of_other_repositories_are_packed(repository: Path, tmp_path: Path) -> None:
    other = commit_files(
        tmp_path / "other", {"lib/b.c": "b", "lib/.gitattributes": "*.c ident\n", "top/x": ""}
    )
    package = _with_sources(repository, f"{other}/lib:lib", f"{other}/top:/")
    packed = _packed(package)
    verify_context(packed, _job(package))
    assert {"lib/b.c", "x", "own/file"} <= _names(packed)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["../plain:."], "overwrites Dockerfile"),
        (["../plain:own/file"], "is below own/file, a file"),
        (["../plain:a/b"], "is below a, a file"),
        (["../plain:p", "../plain:/p"], "overwrites p/.gitignore"),
        (["../../common/lib:lib", "../../common/lib/sub:lib/sub"], "overwrites lib/sub/b.c"),
    ],
)
def test_overlapping_destinations_are_refused(sources: list[str], message: str, repository: Path) -> None:
    with pytest.raises(InputError, match=message):
        _packed(_with_sources(repository, *sources))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("place", ["/lib", "../lib", "a/../../lib", "a//b", "./a", "."])
def test_a_destination_outside_the_context_is_refused(place: str) -> None:
    package = _package("pkg/extra")
    trees = (package.trees[0], package.trees[1]._replace(dst=place))
    with pytest.raises(ContextError, match=r"absolute path|leads out|git cannot store|without its directory"):
        _packed(package._replace(trees=trees))


def _with_submodule(repository: Path, folder: Path) -> Package:
    """A package with a submodule, which has a submodule itself."""
    inner = commit_files(folder / "inner", {"inner.c": "", "sub/x": ""})
    lib = commit_files(folder / "lib", {"f": "x"})
    allow = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    git(lib, *allow, "add", str(inner), "deep/inner")
    git(lib, "commit", "-qm", "inner")
    git(repository, *allow, "add", str(lib), "pkg/plain/lib")
    git(repository, "commit", "-qm", "lib")
    git(repository, *allow, "update", "--init", "--recursive")
    return _package("pkg/plain")


def test_submodules_are_packed_at_the_commits_that_the_tree_names(repository: Path, tmp_path: Path) -> None:
    package = _with_submodule(repository, tmp_path)
    packed, job = _packed(package), _job(package)
    assert package.hash == git(repository, "rev-parse", "HEAD:pkg/plain").decode()
    verify_context(packed, job)
    assert {"hello", "lib/f", "lib/deep/inner/sub/x"} <= _names(packed)
    (place, within, raw), inner = job.submodules
    for submodules, message in {
        (): "its job names",
        (inner,): "in no part|its job names",
        ((place, within, raw.replace("tree ", "tree 0")[:-1]), inner): "which its commit does not name",
        ((place, within, f"{raw} "), inner): "its job names",
        ((place, 7, raw), inner): "in no part",
        ((place, -1, raw), inner): "in no part",
        (("hello", within, raw), inner): "in no part|does not name",
    }.items():
        packed.seek(0)
        with pytest.raises(ContextError, match=message):
            verify_context(packed, replace(job, submodules=submodules))


def test_a_submodule_in_an_extra_source_is_packed(repository: Path, tmp_path: Path) -> None:
    _with_submodule(repository, tmp_path)
    package = _with_sources(repository, "../plain:/own/plain", "../plain/lib/deep:deep")
    packed = _packed(package)
    verify_context(packed, _job(package))
    assert {"own/plain/lib/deep/inner/sub/x", "deep/inner/sub/x"} <= _names(packed)


def test_every_change_of_a_submodule_is_dirty_and_shows_in_the_tag(repository: Path, tmp_path: Path) -> None:
    before, tags = _with_submodule(repository, tmp_path), set()
    for number, name in enumerate(("lib/f", "lib/new", "lib/deep/inner/inner.c")):
        write(repository, {f"pkg/plain/{name}": str(number)})
        changed = _package("pkg/plain")
        assert changed.dirty
        tags.add(changed.hash)
    assert len(tags - {before.hash}) == 3


def test_a_submodule_that_is_not_checked_out_has_a_tag_and_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    tag = _with_submodule(repository, tmp_path).hash
    git(repository, "submodule", "--quiet", "deinit", "--all", "--force")
    package = _package("pkg/plain")
    assert (package.hash, check_files([package])) == (tag, ())
    with pytest.raises(InputError, match=r"the submodule lib is not checked out .*git submodule update"):
        _packed(package)


@pytest.mark.parametrize("missing", ["pkg/plain/lib", "pkg/plain/lib/deep/inner"])
def test_with_include_ignored_a_submodule_is_not_left_out(
    missing: str, repository: Path, tmp_path: Path
) -> None:
    _with_submodule(repository, tmp_path)
    package = _package("pkg/plain", include_ignored=True)
    assert check_files([package]) == ()
    assert {"lib/f", "lib/deep/inner/sub/x"} <= _names(_packed(package))
    above = (repository / missing).parents[1]
    git(above, "submodule", "--quiet", "deinit", "--all", "--force")
    with pytest.raises(InputError, match=rf"{missing} is not checked out, .*git submodule update"):
        check_files([_package("pkg/plain", include_ignored=True)])


def test_a_pointer_of_lfs_in_a_submodule_is_not_built_as_it_is(repository: Path, tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 9\n"
    lib = commit_files(tmp_path / "lib", {".gitattributes": "*.bin filter=lfs\n", "x.bin": pointer})
    allow = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    git(repository, *allow, "add", str(lib), "pkg/plain/lib")
    git(repository, "commit", "-qm", "lib")
    for options in ({"include_ignored": True}, {"force_dirty": True}):
        with pytest.raises(InputError, match=r"pkg/plain/lib/x.bin holds the pointer of git-lfs"):
            check_files([_package("pkg/plain", **options)])


def test_a_commit_of_a_submodule_that_is_not_fetched_gives_a_tag_and_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    _with_submodule(repository, tmp_path)
    git(repository, "update-index", "--cacheinfo", f"160000,{'1' * 40},pkg/plain/lib")
    git(repository, "commit", "-qm", "newer")
    package = _package("pkg/plain", hash_commit="main")
    assert package.hash == git(repository, "rev-parse", "HEAD:pkg/plain").decode()
    with pytest.raises(InputError, match=r"the submodule lib is not checked out at the commit 111111111111"):
        _packed(package)


def test_a_submodule_without_gitmodules_is_refused(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD").decode()
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},pkg/plain/sub")
    git(repository, "commit", "-qm", "submodule")
    (repository / "pkg/plain/sub").mkdir()
    for use in (_packed, lambda package: context_entries(package, list_contents([package]))):
        with pytest.raises(GitError, match=r"sub is a submodule, and its repository has no \.gitmodules"):
            use(_package("pkg/plain"))


def test_a_shallow_clone_gives_tags_but_no_contexts_of_unknown_date(repository: Path, tmp_path: Path) -> None:
    git(repository, "clone", "-q", "--depth=1", f"file://{repository}", str(tmp_path / "clone"))
    package = _package(str(tmp_path / "clone/pkg/tree"))
    assert package.reference == _package("pkg/tree").reference
    with pytest.raises(GitError, match=r"clone is too shallow .*git fetch --unshallow"):
        _packed(package)


def test_a_missing_object_is_named(repository: Path) -> None:
    package = _package("pkg/plain")
    blob = git(repository, "rev-parse", "HEAD:pkg/plain/hello").decode()
    (repository / f".git/objects/{blob[:2]}/{blob[2:]}").unlink()
    with pytest.raises(GitError, match=f"cannot read the object {blob}"):
        _packed(package)


_TEXT = Entry(b"a", FILE, blob_id([b"x"], 1), 1)
_CONTENT = {_TEXT.oid: [b"x"]}


def _tar(entries: Iterable[Entry]) -> io.BytesIO:
    into = io.BytesIO()
    writer = TarWriter(into, 0)
    for entry in entries:
        writer.add(entry, _CONTENT.get(entry.oid, ()))
    writer.close()
    return io.BytesIO(into.getvalue())


_HASH = context_hash([_TEXT], ())


def _named(hash_: str, tag: str = "{{.Hash}}", shown: str | None = None, tree: str = _HASH) -> Job:
    reference = Reference("docker.io", "linuxkit/x", shown or tag.replace("{{.Hash}}", hash_))
    return Job("r1", "linuxkit/x", reference, "amd64", hash_, tree, tag, "sha256:")


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (_named("b" * 40, tree="b" * 40), "has the hash .*, but its job names bbbb"),
        (_named(_HASH, tree="b" * 40), "but its job names bbbb"),
        (_named("v1", tree="b" * 40), "but its job names bbbb"),
        (_named("v1", tree=""), "but its job names "),
        (_named(_HASH, shown="b" * 40), "do not give its tag bbbb"),
        (_named("v1", tag="{{.Commit}}", shown="v1"), "invalid tag template"),
    ],
)
def test_a_job_that_names_another_tree_or_tag_is_refused(job: Job, message: str) -> None:
    with pytest.raises(ContextError, match=message):
        verify_context(_tar([_TEXT]), job)


def test_a_job_of_an_earlier_version_names_the_tree_by_its_hash() -> None:
    message = _named(_HASH).to_json()
    del message["tree"]
    verify_context(_tar([_TEXT]), Job.from_json(message))


def _at(path: bytes, **fields: object) -> Entry:
    return _TEXT._replace(path=path, **fields)  # type: ignore[arg-type]


_LINK = Entry(b"b", SYMLINK, target=b"/etc")


def _foreign(kind: bytes, form: int = tarfile.GNU_FORMAT, **fields: object) -> io.BytesIO:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=form) as tar:
        info = tarfile.TarInfo("a")
        info.type, info.linkname = kind, "b" if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE) else ""
        for name, value in fields.items():
            setattr(info, name, value)
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    return io.BytesIO(into.getvalue())


@pytest.mark.parametrize(
    ("tar", "message"),
    [
        (_tar([_at(b"/a")]), "an absolute path"),
        (_tar([_at(b"../a")]), "leads out"),
        (_tar([Entry(b"a", DIRECTORY), _at(b"a/..")]), "leads out"),
        (_tar([_at(b"./a")]), "that git cannot store"),
        (_tar([_at(b"a//b")]), "that git cannot store"),
        (_tar([_TEXT, _TEXT]), "a twice"),
        (_tar([_at(b"b"), _TEXT]), "out of order"),
        (_tar([_LINK, _at(b"b/a")]), "without its directory"),
        (_tar([_TEXT, _at(b"a/b")]), "without its directory"),
        (_tar([_at(b"x/y")]), "without its directory"),
        (_tar([_TEXT, Entry(b"b", DIRECTORY)]), "the empty directory b"),
        (_foreign(tarfile.LNKTYPE), "a hard link: a"),
        (_foreign(tarfile.CHRTYPE), "a device: a"),
        (_foreign(tarfile.BLKTYPE), "a device: a"),
        (_foreign(tarfile.FIFOTYPE), "a named pipe: a"),
        (_foreign(tarfile.REGTYPE, mode=0o4755), "mode 4755: a"),
        (_foreign(tarfile.REGTYPE, uid=1), "differs from what the farm writes"),
        (_foreign(tarfile.REGTYPE, uname="root"), "differs from what the farm writes"),
        (_foreign(tarfile.REGTYPE, tarfile.USTAR_FORMAT), "differs from what the farm writes"),
        (_foreign(tarfile.REGTYPE, tarfile.PAX_FORMAT, name="ü"), "an entry of type b'x'"),
        (_foreign(tarfile.SYMTYPE, mode=0o777, size=512), "has content"),
        (_foreign(tarfile.GNUTYPE_SPARSE), "an entry of type b'S'"),
        (_foreign(b"L", size=1 << 17), "a name is too long"),
    ],
)
def test_what_git_could_not_store_or_the_farm_does_not_write_is_refused(
    tar: io.BytesIO, message: str
) -> None:
    with pytest.raises(ContextError, match=message):
        verify_context(tar, _named("v1"))


def test_a_tar_of_the_same_form_by_another_program_is_read() -> None:
    zeros = Entry(b"a", FILE, blob_id([bytes(700)], 700), 700)
    verify_context(_foreign(tarfile.REGTYPE, size=700), _named("v1", tree=context_hash([zeros], ())))


def test_a_context_that_is_followed_by_data_is_refused() -> None:
    with pytest.raises(ContextError, match="data after its end"):
        verify_context(io.BytesIO(_tar([_TEXT]).getvalue() + bytes(10240)), _named("v1"))
