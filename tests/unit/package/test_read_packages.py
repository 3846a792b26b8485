from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import BuildYmlError, FarmError, GitError, InputError
from farm.model import GitTree, combined_hash
from farm.package.git_objects import commit_time
from farm.package.read_packages import directories_below, read_packages, resolve_build_args
from farm.package.tags import TagOptions
from farm.planning.prepare_plan import check_build_yml
from tests.support.git_repos import commit, commit_files, do, git, make_repository, write

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model import Package


def _tag(directory: Path | str) -> str:
    return str(_one(directory).reference.tag)


def _one(directory: Path | str, **options: Any) -> Package:
    return read_packages([str(directory)], TagOptions(**options))[0]


def test_a_package_has_its_repository_commit_and_trees(repository: Path) -> None:
    package = _one("pkg/extra2")
    assert package.directory == "pkg/extra2"
    assert package.repository == str(repository)
    assert package.commit == git(repository, "rev-parse", "HEAD").decode()
    assert [(tree.path, tree.dst) for tree in package.trees] == [
        ("pkg/extra2", ""),
        ("common/lib", "lib"),
        ("pkg/plain", "vendor/plain"),
    ]


@pytest.mark.usefixtures("repository")
def test_a_directory_that_is_named_twice_is_one_package() -> None:
    packages = read_packages(["pkg/tree", "pkg/plain", "./pkg/tree/"], TagOptions())
    assert [package.directory for package in packages] == ["pkg/tree", "pkg/plain"]


def test_two_directories_cannot_make_one_image(repository: Path) -> None:
    write(repository, {"pkg/twin/build.yml": "image: plain\n"})
    with pytest.raises(InputError, match="pkg/plain and pkg/twin both make linuxkit/plain"):
        read_packages(["pkg/plain", "pkg/twin"], TagOptions())
    looked_at = read_packages(["pkg/plain", "pkg/twin"], TagOptions(hash="v1"), apart=True)
    assert [package.directory for package in looked_at] == ["pkg/plain", "pkg/twin"]


def test_each_change_of_an_extra_source_gives_another_tag(repository: Path) -> None:
    write(repository, {"common/lib/a.c": "int b;\n"})
    first = _tag("pkg/extra")
    write(repository, {"common/lib/a.c": "int c;\n"})
    assert "-dirty-" in first
    assert _tag("pkg/extra") not in (first, _tag("pkg/plain"))


def test_a_new_link_to_a_repository_is_read_as_a_link(repository: Path, tmp_path: Path) -> None:
    other = commit_files(tmp_path / "other", {"x": ""})
    do(repository, [{"symlink": "pkg/plain/other", "to": str(other)}])
    first = _tag("pkg/plain")
    write(other, {"x": "changed"})
    assert _tag("pkg/plain") == first
    do(repository, [{"symlink": "pkg/plain/self", "to": "../.."}])
    assert _tag("pkg/plain") != first


def test_another_commit_has_no_uncommitted_changes(repository: Path) -> None:
    write(repository, {"pkg/plain/hello": "changed\n"})
    package = _one("pkg/plain", hash_commit="HEAD~1")
    assert (package.hash, package.dirty) == ("e34270c2243e70c71c4e878840dbc7eec2727280", False)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("revision", ["nowhere", "-n", "HEAD:pkg", "HEAD~1..HEAD", ""])
def test_a_revision_that_is_not_a_commit_is_refused(revision: str) -> None:
    with pytest.raises(GitError, match="is not a commit"):
        _one("pkg/plain", hash_commit=revision)


def test_a_package_may_be_the_top_of_its_repository(tmp_path: Path) -> None:
    top = commit_files(tmp_path / "top", {"build.yml": "image: top\n", "Dockerfile": "FROM scratch\n"})
    package = _one(top)
    assert package.hash == git(top, "rev-parse", "HEAD^{tree}").decode()
    write(top, {"new": ""})
    assert _one(top).dirty


def test_packages_of_several_repositories_can_be_read_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        commit_files(tmp_path / name, {"p/build.yml": f"image: {name}\n"})
    packages = read_packages([str(tmp_path / name / "p") for name in "ab"], TagOptions())
    assert [package.repository for package in packages] == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_package_is_read_through_a_worktree_and_a_link(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    (tmp_path / "link").symlink_to(tmp_path / "tree/pkg/plain")
    assert _tag(tmp_path / "link") == _tag("pkg/plain")


def test_outside_git_the_tag_is_latest(tmp_path: Path) -> None:
    write(tmp_path, {"build.yml": "image: x\n"})
    package = _one(tmp_path)
    assert (package.reference.familiar, package.commit, package.trees) == ("linuxkit/x:latest", None, ())


def test_a_repository_needs_a_commit_unless_the_hash_is_given(tmp_path: Path) -> None:
    write(make_repository(tmp_path / "new"), {"build.yml": "image: x\n"})
    with pytest.raises(GitError, match="has no commits yet"):
        _one(tmp_path / "new")
    package = _one(tmp_path / "new", hash="v1")
    assert (package.reference.tag, package.commit, package.dirty) == ("v1", None, True)


def test_a_package_that_git_ignores_has_no_commit(repository: Path) -> None:
    write(repository, {"pkg/plain/out/build.yml": "image: out\n"})
    with pytest.raises(GitError, match=r"pkg/plain/out: git ignores it \(pkg/plain/.gitignore:2: out/\)"):
        _one("pkg/plain/out")
    assert _one("pkg/plain/out", hash="v1").commit is None


def test_a_package_that_an_exception_to_a_rule_names_is_not_said_to_be_ignored(repository: Path) -> None:
    write(repository, {".gitignore": "/new*\n!/new\n", "new/build.yml": "image: new\n"})
    with pytest.raises(GitError, match=r"new: is not in git \(git add"):
        _one("new")


def test_with_include_ignored_the_tag_is_the_tree_that_git_would_make_of_all_files(repository: Path) -> None:
    write(repository, {"pkg/plain/x.o": "ignored", "pkg/plain/out/build.yml": "image: out\n"})
    do(repository, [{"symlink": "pkg/plain/out/link", "to": "../hello"}, {"mkdir": "pkg/plain/out/empty"}])
    found = [_one(name, include_ignored=True) for name in ("pkg/plain", "pkg/plain/out")]
    assert not git(repository, "status", "--porcelain")
    do(repository, [{"git": ["add", "--force", "."]}, {"git": ["commit", "-qm", "all"]}])
    for package in found:
        assert package.hash == git(repository, "rev-parse", f"HEAD:{package.directory}").decode()
        assert package.commit is None, "no commit holds these files, so the image names none"


def test_with_include_ignored_the_tag_of_a_dirty_package_covers_what_git_ignores(repository: Path) -> None:
    write(repository, {"pkg/plain/x.o": "ignored", "pkg/plain/hello": "changed"})
    first = _one("pkg/plain", include_ignored=True)
    assert first.dirty
    without = _one("pkg/plain")
    write(repository, {"pkg/plain/x.o": "other"})
    assert _one("pkg/plain") == without, "as with linuxkit, which does not read it"
    assert _one("pkg/plain", include_ignored=True).hash not in (first.hash, without.hash)


@pytest.mark.usefixtures("repository")
def test_files_of_the_working_directory_and_of_another_commit_exclude_each_other() -> None:
    with pytest.raises(InputError, match="--include-ignored and --hash-commit exclude each other"):
        _one("pkg/plain", include_ignored=True, hash_commit="HEAD~0")


def test_an_extra_source_that_is_not_in_git_is_named(repository: Path) -> None:
    do(repository, [{"rm": "common"}, {"git": ["commit", "-qam", "gone"]}])
    with pytest.raises(GitError, match=r"pkg/extra: the extra source ../../common/lib does not exist"):
        _one("pkg/extra")
    write(repository, {"common/lib/a.c": ""})
    with pytest.raises(GitError, match=r"pkg/extra: the extra source ../../common/lib is not in git"):
        _one("pkg/extra")


def test_an_extra_source_may_be_in_another_repository(repository: Path, tmp_path: Path) -> None:
    other = commit_files(tmp_path / "other", {"lib/b.c": "", "x": ""})
    write(repository, {"pkg/plain/build.yml": f"image: plain\nextra-sources: ['{other}/lib:lib']\n"})
    commit(repository)
    package, tree = _one("pkg/plain"), git(other, "rev-parse", "HEAD:lib").decode()
    head = git(other, "rev-parse", "HEAD").decode()
    assert package.trees[1] == GitTree("lib", tree, "lib", str(other), head)
    assert package.hash == combined_hash([git(repository, "rev-parse", "HEAD:pkg/plain").decode(), tree])
    write(other, {"lib/c.c": "new"})
    first = _tag("pkg/plain")
    write(other, {"lib/c.c": "newer"})
    assert "-dirty-" in first
    assert _tag("pkg/plain") != first


@pytest.mark.parametrize(
    ("build_yml", "message"),
    [
        ("image: plain\nextra-sources: [../../../out:out]\n", r"^pkg/plain: .* ../../../out does not exist"),
        ("image: plain\nextra-sources: [/etc:out]\n", "^pkg/plain: .* /etc is in no git repository"),
        ("image: plain\nextra-sources: [hello:out]\n", "^pkg/plain: .* hello is a file, not a directory"),
        ("image: Plain\n", r"^pkg/plain: invalid image reference 'linuxkit/Plain:.*'"),
    ],
)
def test_what_is_wrong_with_a_package_is_reported_with_it(
    build_yml: str, message: str, repository: Path
) -> None:
    write(repository, {"pkg/plain/build.yml": build_yml})
    with pytest.raises(FarmError, match=message):
        _one("pkg/plain")


def test_the_error_for_a_damaged_repository_is_that_of_git(repository: Path) -> None:
    shutil.rmtree(repository / ".git/objects")
    with pytest.raises(GitError, match="git cannot read the repository"):
        _one("pkg/plain")


def test_the_error_without_git_says_what_to_do(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(GitError, match="git is not installed"):
        _one("pkg/plain")


def test_the_time_of_a_packages_commit_is_known(repository: Path) -> None:
    commit(repository, date="2024-05-06T07:08:09Z")
    assert commit_time(_one("pkg/plain")) == 1714979289.0


def test_the_errors_of_several_packages_are_reported_together(repository: Path) -> None:
    write(repository, {"pkg/one/build.yml": "imag: one\n", "pkg/two/build.yml": "image: [\n"})
    with pytest.raises(BuildYmlError) as refused:
        read_packages(["pkg/one", "pkg/plain", "pkg/two", "pkg/none"], TagOptions())
    assert [part.message.partition(": ")[0] for part in refused.value.parts] == [
        "pkg/one/build.yml:1",
        "pkg/two/build.yml:2",
        "pkg/none",
    ]
    with pytest.raises(BuildYmlError) as alone:
        read_packages(["pkg/one", "pkg/plain"], TagOptions())
    assert alone.value.parts == ()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Packages at two depths, and a build.yml of git's."""
    for name in ("b", "a/c", ".git/d", "b/deep"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / ("other.yml" if name == "b/deep" else "build.yml")).touch()
    return tmp_path


def test_every_package_below_a_directory_is_found(tree: Path) -> None:
    assert directories_below([str(tree)], "build.yml") == [str(tree / "a/c"), str(tree / "b")]
    assert directories_below([str(tree / "b")], "build.yml") == [str(tree / "b")]


def test_a_build_yml_deeper_in_the_package_names_the_package(tree: Path) -> None:
    assert directories_below([str(tree)], "deep/other.yml") == [str(tree / "b")]


def test_a_build_yml_below_the_package_is_read_as_linuxkit_reads_it(tmp_path: Path) -> None:
    """Packages in buildArgs are relative to the build.yml, images in depends to the package."""
    text = (
        "image: k\nbuildArgs: ['B=@lkt:pkg:../../base']\n"
        "depends: {docker-images: {from-file: images, target: made.tar}}\n"
    )
    images = f"alpine@sha256:{'1' * 64}\n"
    files = {"k/common/k.yml": text, "k/images": images, "base/build.yml": "image: base\n"}
    repository = commit_files(tmp_path, files)
    options = TagOptions(build_yml="./common/k.yml", hash_commit="HEAD^{commit}")
    (package,) = resolve_build_args(read_packages([f"{repository}/k"], options), options.build_yml)
    base = _one(repository / "base")
    check_build_yml([package], options)
    assert package.yml.build_args == (f"B={base.reference.familiar}",)
    assert package.yml.depends
    assert package.yml.depends.images == (images.strip(),)


@pytest.mark.parametrize("ignored", ["build.yml", "images"])
def test_a_build_yml_or_list_of_images_that_git_ignores_is_refused_for_a_tag_of_a_commit(
    ignored: str, tmp_path: Path
) -> None:
    commit_files(tmp_path, {".gitignore": f"{ignored}\n", "p/Dockerfile": ""})
    text = "image: p\ndepends: {docker-images: {from-file: images, target: made.tar}}\n"
    write(tmp_path, {"p/build.yml": text, "p/images": f"alpine@sha256:{'1' * 64}\n"})
    commit(tmp_path)
    directory = str(tmp_path / "p")
    with pytest.raises(GitError, match=rf"git ignores its {ignored} \(.gitignore:1: .*--include-ignored"):
        check_build_yml(read_packages([directory], TagOptions()), TagOptions())
    for options in (TagOptions(include_ignored=True), TagOptions(hash="1"), TagOptions(force_dirty=True)):
        check_build_yml(read_packages([directory], options), options)


@pytest.mark.parametrize("name", ["none.yml", "/abs/build.yml", "../build.yml", ""])
def test_finding_no_package_is_an_error(tree: Path, name: str) -> None:
    with pytest.raises(
        InputError, match=r"no package found below|must be a path below the package directory"
    ):
        directories_below([str(tree)], name)


@pytest.mark.parametrize("options", [TagOptions(hash="v1"), TagOptions(include_ignored=True)], ids=repr)
def test_an_extra_source_in_no_repository_is_refused_by_name(options: TagOptions, tmp_path: Path) -> None:
    commit_files(tmp_path / "one", {"p/build.yml": "image: p\nextra-sources: ['../../lib:lib']\n"})
    write(tmp_path, {"lib/a.c": ""})
    with pytest.raises(GitError, match=r"extra source ../../lib is in no git repository"):
        read_packages([str(tmp_path / "one/p")], options)
