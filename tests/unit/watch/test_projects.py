"""Which project of which forge a git URL means, and what a forge shows."""

from __future__ import annotations

import pytest

from farm.errors import InputError
from farm.watch.forge import ForgeKind, Project, kind_of
from farm.watch.heads import Outcome, Status


@pytest.mark.parametrize(
    ("repository", "url", "path"),
    [
        ("https://github.com/linuxkit/linuxkit", "https://github.com", "linuxkit/linuxkit"),
        ("https://github.com/linuxkit/linuxkit.git/", "https://github.com", "linuxkit/linuxkit"),
        ("https://me@git.example.org:8443/a/b/c.git", "https://git.example.org:8443", "a/b/c"),
        ("http://git.example.org/a/b", "http://git.example.org", "a/b"),
        ("git@gitlab.com:group/sub/os.git", "https://gitlab.com", "group/sub/os"),
        ("ssh://git@codeberg.org:22/me/os", "https://codeberg.org", "me/os"),
        ("git://git.example.org/me/os.git", "https://git.example.org", "me/os"),
    ],
)
def test_a_project_is_found_in_every_way_to_write_a_git_url(repository: str, url: str, path: str) -> None:
    assert Project.of(repository) == Project(url, path)


def test_the_url_of_a_forge_elsewhere_is_taken_as_it_is_given() -> None:
    assert Project.of("git@internal:me/os", "http://forge:3000/") == Project("http://forge:3000", "me/os")


@pytest.mark.parametrize("repository", ["/srv/git/os", "os", "https://github.com/os", "./a/b"])
def test_what_names_no_project_is_refused(repository: str) -> None:
    with pytest.raises(InputError, match="does not say which project"):
        Project.of(repository)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://github.com", ForgeKind.GITHUB),
        ("https://gitlab.com", ForgeKind.GITLAB),
        ("https://codeberg.org", ForgeKind.GITEA),
        ("https://github.com.example.org", None),
    ],
)
def test_only_well_known_forges_are_known_by_their_host(url: str, kind: ForgeKind | None) -> None:
    assert kind_of(Project(url, "me/os")) is kind


def test_a_status_is_cut_to_what_every_forge_takes() -> None:
    assert Status(Outcome.FAILURE, "RUN\n  failed").short == "RUN failed"
    assert len(Status(Outcome.FAILURE, "x" * 1000).short) == 140
