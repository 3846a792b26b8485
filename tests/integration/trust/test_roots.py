"""Only a pinned root key certifies signatures; one that the pinned key signed may follow it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import TrustError
from farm.trust.notary.admin_keys import root_keys
from farm.trust.notary.client import command
from farm.trust.notary.initialise import InitialisationStep
from farm.trust.notary.pins import pin, read_pins
from farm.trust.notary.roots import read_roots

if TYPE_CHECKING:
    from pathlib import Path

    from lab.lab import Lab
    from tests.integration.trust.conftest import Initialise, Repository


def replace_root(lab: Lab, repository: Repository, trust_dir: Path) -> None:
    """Make a new root key; the old one signs it."""
    words = command(repository.server, trust_dir, ["key", "rotate", repository.gun, "root"])
    passphrases = dict.fromkeys(("NOTARY_ROOT_PASSPHRASE", "NOTARY_TARGETS_PASSPHRASE"), lab.root_passphrase)
    subprocess.run(
        words, env={**os.environ, **passphrases}, input=b"yes\n", check=True, capture_output=True, timeout=60
    )


def test_a_name_without_a_pin_is_refused_by_every_reader_and_named_with_all_others(
    repository: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    repository.sign()
    elsewhere = repository.through(pins=tmp_path / "none.yml", work=tmp_path / "other")
    for attempt in (
        elsewhere.signed,
        elsewhere.sign,
        lambda: initialise(repository.gun, server=elsewhere.server, trust_dir=tmp_path / "nobody"),
    ):
        with pytest.raises(TrustError, match="no root key is pinned") as caught:
            attempt()
        assert f"farm trust pin {repository.gun}" in str(caught.value)
    assert not (tmp_path / "none.yml").exists()


def test_the_administrators_own_root_key_is_pinned_for_all_names_beside_the_first(
    repository: Repository, admin: Path
) -> None:
    pins = read_pins(repository.server.pins)
    (own,) = root_keys(admin)
    assert pins.ids(repository.gun) == pins.ids(f"{repository.gun}-more") == (own,)
    assert read_roots(repository.gun, repository.server) == (own,)


def test_a_new_root_key_that_the_old_one_signed_is_followed_as_often_as_there_are_some(
    lab: Lab, repository: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    own = tmp_path / "admin"
    made = repository.through(pins=tmp_path / "own.yml")
    made = replace(made, gun=f"{made.gun}-own")
    arguments = {"server": made.server, "trust_dir": own}
    initialise(made.gun, **arguments)
    made.sign()
    (before,) = read_roots(made.gun, made.server)
    for _ in range(2):
        replace_root(lab, made, own)
    (after,) = read_roots(made.gun, made.server)
    assert before != after
    # The first of these readers follows the signatures, the second has what the first kept.
    for _ in range(2):
        assert made.signed().keys() == {"v1"}
    made.sign(made.target("v2"))
    assert initialise(made.gun, **arguments) == ()
    # Who never saw the old one needs the new pin.
    stranger = made.through(work=tmp_path / "stranger")
    with pytest.raises(TrustError, match=f"but {before[:12]} is pinned"):
        stranger.signed()
    pin(made.server.pins, made.gun, [after])
    assert stranger.signed().keys() == {"v1", "v2"}
    # A pin that was replaced takes what followed from it along.
    pin(made.server.pins, made.gun, ["0" * 64])
    with pytest.raises(TrustError, match="but 000000000000 is pinned"):
        made.signed()


def test_a_name_that_is_made_anew_with_the_same_root_key_is_taken(
    repository: Repository, initialise: Initialise, admin: Path
) -> None:
    """As after a delegation key was stolen."""
    repository.sign()
    assert repository.signed()
    words = command(repository.server, admin, ["delete", repository.gun, "--remote"])
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    assert InitialisationStep.CREATE in initialise(repository.gun)
    assert repository.signed() == {}


def test_an_administrator_whose_root_key_is_not_the_pinned_one_creates_nothing(
    new: Repository, initialise: Initialise, tmp_path: Path
) -> None:
    pin(new.server.pins, new.gun, ["0" * 64])
    with pytest.raises(TrustError, match="is not in"):
        initialise(new.gun, trust_dir=tmp_path / "admin")
    with pytest.raises(TrustError, match="not initialised"):
        new.sign()
