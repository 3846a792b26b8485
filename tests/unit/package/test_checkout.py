"""A context holds what git checks out of a commit, and a worker finds the commit's tree in it again."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import ContextError, InputError
from farm.model import Job
from farm.package.attributes import Conversion, read_conversions
from farm.package.check_files import check_files
from farm.package.forms import blob_id, checked_out, committed_id
from farm.package.git import Repository, list_files
from farm.package.pack_context import pack_context
from farm.package.read_packages import read_packages
from farm.package.tags import TagOptions
from farm.package.verify_context import verify_context
from tests.support.git_repos import commit, commit_files, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model import Package

_PACKAGE = {"p/build.yml": "image: p\n", "p/Dockerfile": "FROM scratch\n"}
_CONTENT = b"content " * 100


def _package(repository: Path, **options: Any) -> Package:
    return read_packages([str(repository / "p")], TagOptions(**options))[0]


def _plain(package: Package) -> bytes:
    into = io.BytesIO()
    pack_context(package, into)
    return into.getvalue()


def _verify(plain: bytes, package: Package) -> None:
    hash_, tag = package.hash, package.yml.tag
    job = Job("r1", "p", package.reference, "amd64", hash_, package.tree, tag, "sha256:")
    verify_context(io.BytesIO(plain), job)


def _files(package: Package) -> dict[str, bytes]:
    """The files of the package's context, which the check of a worker accepts."""
    plain = _plain(package)
    _verify(plain, package)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isreg()}  # type: ignore[union-attr]


def _pointer(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"


def _with_content(path: Path) -> Path:
    """A repository with p/x.bin in LFS, and its content checked out."""
    write(make_repository(path), {"../pointer": _pointer(_CONTENT)})
    # As with git-lfs, a pointer and its content are the same to git.
    git(path, "config", "filter.lfs.clean", "cat ../pointer")
    write(path, {**_PACKAGE, ".gitattributes": "*.bin filter=lfs -text\n", "p/x.bin": _CONTENT.decode()})
    commit(path)
    return path


def test_a_file_in_lfs_is_built_as_its_content_and_not_as_its_pointer(tmp_path: Path) -> None:
    package = _package(_with_content(tmp_path / "repo"))
    assert check_files([package]) == ()
    assert _files(package)["x.bin"] == _CONTENT


def test_the_content_is_also_found_in_the_store_of_lfs(tmp_path: Path) -> None:
    """As when an older commit is built, or nothing was checked out."""
    write(make_repository(tmp_path), {**_PACKAGE, ".gitattributes": "*.bin filter=lfs\n"})
    write(tmp_path, {"p/x.bin": _pointer(_CONTENT)})
    commit(tmp_path)
    package = _package(tmp_path)
    for check in (lambda: check_files([package]), lambda: _plain(package)):
        with pytest.raises(InputError, match=r"p/x.bin is in LFS and not on this machine \(git lfs pull\)"):
            check()
    digest = hashlib.sha256(_CONTENT).hexdigest()
    stored = tmp_path / f".git/lfs/objects/{digest[:2]}/{digest[2:4]}/{digest}"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(_CONTENT)
    check_files([package])
    assert _files(package)["x.bin"] == _CONTENT
    stored.write_bytes(_CONTENT[::-1])
    with pytest.raises(ContextError, match="is not the content that its LFS pointer names"):
        _plain(package)


def test_a_worker_refuses_other_content_than_the_pointer_names(tmp_path: Path) -> None:
    package = _package(_with_content(tmp_path / "repo"))
    plain = _plain(package)
    with pytest.raises(ContextError, match="the context has the hash"):
        _verify(plain.replace(_CONTENT, _CONTENT.upper()), package)


def test_a_file_that_was_committed_before_it_was_in_lfs_is_built_as_it_is(tmp_path: Path) -> None:
    write(make_repository(tmp_path), {**_PACKAGE, ".gitattributes": "*.bin filter=lfs\n"})
    write(tmp_path, {"p/x.bin": "plain", "p/empty.bin": ""})
    commit(tmp_path)
    assert _files(_package(tmp_path))["x.bin"] == b"plain"


@pytest.mark.parametrize(
    ("attributes", "files", "message"),
    [
        (
            "*.key filter=git-crypt",
            {"p/a.key": "x"},
            "p/a.key is changed on checkout by git's filter git-crypt",
        ),
        ("[attr]secret filter=x\n*.key secret", {"p/a.key": "x"}, "p/a.key .* git's filter x"),
        ("*.ps1 working-tree-encoding=UTF-16", {}, "p/a.ps1 .* by working-tree-encoding=UTF-16"),
        (
            "*.bin filter=lfs",
            {"p/x.bin": "version https://git-lfs.github.com/spec/v1\n"},
            "p/x.bin is not a valid",
        ),
        ("Dockerfile filter=lfs", {"p/Dockerfile": _pointer(b"FROM x\n")}, "its Dockerfile is in LFS"),
    ],
)
def test_what_a_worker_cannot_verify_is_refused_by_its_name(
    attributes: str, files: dict[str, str], message: str, tmp_path: Path
) -> None:
    write(make_repository(tmp_path), {**_PACKAGE, ".gitattributes": f"{attributes}\n", **files})
    if not files:
        (tmp_path / "p/a.ps1").write_text("x\n", encoding="utf-16")
    commit(tmp_path)
    with pytest.raises(InputError, match=message):
        check_files([_package(tmp_path)])
    if "Dockerfile" not in attributes:
        with pytest.raises(InputError, match=message):
            _plain(_package(tmp_path))


def test_a_pointer_in_the_working_directory_of_a_dirty_package_is_refused(tmp_path: Path) -> None:
    repository = _with_content(tmp_path / "repo")
    write(repository, {"p/Dockerfile": "FROM alpine\n", "p/x.bin": _pointer(_CONTENT)})
    options: list[dict[str, Any]] = [{}, {"force_dirty": True}, {"include_ignored": True}]
    for one in options:
        with pytest.raises(InputError, match=r"x.bin holds the pointer of git-lfs, not the content"):
            check_files([_package(repository, **one)])
        git(repository, "checkout", "-q", "p/Dockerfile")


def _with_source_elsewhere(tmp_path: Path) -> Path:
    """A repository whose package p has an extra source in another one, with a file in LFS."""
    _with_content(tmp_path / "other")
    files = {**_PACKAGE, "p/build.yml": "image: p\nextra-sources: [../../other/p:lib]\n"}
    return commit_files(tmp_path / "repo", files)


def test_a_pointer_in_an_extra_source_of_another_repository_is_refused(tmp_path: Path) -> None:
    repository = _with_source_elsewhere(tmp_path)
    write(tmp_path, {"repo/p/Dockerfile": "FROM alpine\n", "other/p/x.bin": _pointer(_CONTENT)})
    with pytest.raises(InputError, match=r"other/p/x.bin holds the pointer of git-lfs, not the content"):
        check_files([_package(repository)])


@pytest.mark.parametrize("options", [{"include_ignored": True}, {"hash": "v1"}])
def test_the_files_of_a_package_with_a_source_in_another_repository_are_checked_there(
    options: dict[str, Any], tmp_path: Path
) -> None:
    repository = _with_source_elsewhere(tmp_path)
    files = {f"q{name[1:]}": (repository / name).read_text() for name in _PACKAGE}
    write(repository, {".git/info/exclude": "/q/\n", **files})
    package = read_packages([str(repository / "q")], TagOptions(**options))[0]
    assert check_files([package]) == ()
    write(tmp_path, {"other/p/x.bin": _pointer(_CONTENT)})
    with pytest.raises(InputError, match=r"other/p/x.bin holds the pointer of git-lfs, not the content"):
        check_files([package])


_TEXTS = {
    "unix": b"one\ntwo\n",
    "dos": b"one\r\ntwo\r\n",
    "mixed": b"one\r\ntwo\n",
    "mac": b"one\rtwo\n",
    "binary": b"\0one\ntwo\n",
    "noise": b"\x01\x02\n" * 9,
    "end": b"one\n\x1a",
    "id": b"$Id$\n",
    "ids": b"# $Id$ $Id$\n$Idx$",
    "expanded": b"$Id: 0123 $\n",
    "empty": b"",
}
_ATTRIBUTES = (
    *("ident", "text", "eol=crlf", "text eol=crlf ident", "text=auto eol=crlf", "-text eol=crlf"),
    *("crlf=auto eol=crlf", "text=auto", "eol=lf ident", "binary eol=crlf"),
)


def test_line_ends_and_ids_are_those_that_git_checks_out(tmp_path: Path) -> None:
    """Or else git could not make the committed file of them again, and neither could a worker."""
    repository = make_repository(tmp_path / "repo")
    for number, attributes in enumerate(_ATTRIBUTES):
        write(repository, {f"{number}/.gitattributes": f"text.* {attributes}\n"})
        for name, content in _TEXTS.items():
            (repository / f"{number}/text.{name}").write_bytes(content)
    _commit_as_they_are(repository)
    git(tmp_path, "clone", "-q", str(repository), "expected")
    at_head = Repository(str(repository), "HEAD")
    files = list_files(at_head, [""])
    conversions = read_conversions(at_head, files)
    lossy = set()
    for path, file in files.items():
        blob = (repository / path.decode()).read_bytes()
        form, content = checked_out(blob, file.oid, conversions.get(path, Conversion()))
        if committed_id(form, [content], len(content)) != file.oid:
            lossy.add(path.decode().partition(".")[2])
            continue
        assert content == (tmp_path / "expected" / path.decode()).read_bytes(), (path, conversions.get(path))
    assert lossy == {"mixed", "expanded"}


@pytest.mark.parametrize(
    ("form", "blob", "other"),
    [
        ("ident", b"$Id$\n", b"$Id: %s $\n" % (b"0" * 40)),
        ("ident", b"$Id$ $Id$\n", b"$Id$ $Id: %s $\n"),
        ("crlf", b"a\nb\n", b"a\r\nb\n"),
        ("ident,crlf", b"$Id$\nb\n", b"$Id: %s $\r\nb\n"),
    ],
)
def test_no_other_content_has_the_id_of_a_blob_than_what_git_checks_out_of_it(
    form: str, blob: bytes, other: bytes
) -> None:
    oid = blob_id([blob], len(blob))
    conversion = Conversion(ident="ident" in form, crlf="crlf" in form)
    assert checked_out(blob, oid, conversion)[0] == form
    made = other.replace(b"%s", oid.encode())
    assert committed_id(form, [made], len(made)) != oid


def _commit_as_they_are(repository: Path) -> None:
    """Commit everything without what `git add` makes of line ends and $Id$."""
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/attributes").write_text("* -text -ident !eol !crlf\n")
    commit(repository)
    (repository / ".git/info/attributes").unlink()


def test_a_text_is_built_as_its_committed_attributes_say_whatever_a_machine_is_configured_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes = "*.bat eol=crlf\n*.c ident\n*.h ident eol=crlf\nkept.bat -text\n"
    names = ("a.bat", "a.c", "a.h", "kept.bat", "plain")
    repository = make_repository(tmp_path / "repo")
    write(repository, {**_PACKAGE, ".gitattributes": attributes, **{f"p/{name}": "$Id$\n" for name in names}})
    commit(repository)
    oid = git(repository, "rev-parse", "HEAD:p/plain")
    before = _plain(_package(repository))
    (tmp_path / "config").write_text("[core]\nautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    (repository / ".git/info/attributes").write_text("* filter=machine ident eol=crlf\n")
    package = _package(repository, hash_commit="main")
    assert _files(package) == {
        "build.yml": b"image: p\n",
        "Dockerfile": b"FROM scratch\n",
        "a.bat": b"$Id$\r\n",
        "a.c": b"$Id: %s $\n" % oid,
        "a.h": b"$Id: %s $\r\n" % oid,
        "kept.bat": b"$Id$\n",
        "plain": b"$Id$\n",
    }
    assert _plain(package) == before


def test_a_text_that_is_not_committed_as_its_attributes_say_is_refused_by_its_name(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    write(repository, {**_PACKAGE, ".gitattributes": "*.bat eol=crlf\n"})
    (repository / "p/a.bat").write_bytes(b"one\r\ntwo\n")
    _commit_as_they_are(repository)
    package = _package(repository, hash_commit="main")
    for check in (lambda: check_files([package]), lambda: _plain(package)):
        with pytest.raises(InputError, match=r"p/a.bat is not committed as .*git add --renormalize"):
            check()
