"""Given logins override docker's, for every spelling of a registry; an invalid entry is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import SettingsError
from farm.registry.credentials import Credentials, read_logins
from farm.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "registry", "user", "password"),
    [
        ("localhost:5000=u:p", "localhost:5000", "u", "p"),
        ("https://registry.example.org/=u:p:q", "registry.example.org", "u", "p:q"),
        ("https://index.docker.io/=u:p", "docker.io", "u", "p"),
        ("docker.io=u:p", "docker.io", "u", "p"),
        ("a.org=x:y, b.org=dG9rZW4=", "b.org", "", "dG9rZW4="),
    ],
)
def test_a_login_is_found_by_the_host_of_its_registry_and_given_to_the_engine(
    text: str, registry: str, user: str, password: str
) -> None:
    login = read_logins(Secret(text))[registry]
    assert (login.user, login.password.reveal(), login.is_token) == (user, password, not user)
    engines = {"username": user, "password": password} if user else {"registrytoken": password}
    assert login.docker == engines


@pytest.mark.parametrize("text", ["hunter2", "=u:hunter2", "a.org=:hunter2", "a.org=u:", "a.org="])
def test_an_invalid_login_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_logins(Secret(text))
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_a_given_login_overrides_dockers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"a.org": {"auth": "ZG9ja2VyOm9sZA=="}}}')
    given = Credentials.load(tmp_path, Secret("a.org=farm:new")).login_for("a.org")
    usual = Credentials.load(tmp_path).login_for("a.org")
    assert given
    assert usual
    assert (given.user, given.password.reveal(), usual.user) == ("farm", "new", "docker")
