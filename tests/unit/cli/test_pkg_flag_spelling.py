"""Every spelling of a flag that some `linuxkit` accepted becomes the one that click accepts."""

from __future__ import annotations

import click
import pytest

from farm.cli.pkg.common_flags import COMMON_FLAGS, boolean_flag, value_flag
from farm.cli.pkg.flag_spelling import move_flags_after_verb, normalize_flags

FLAGS = [*COMMON_FLAGS, boolean_flag("docker", "about"), value_flag("platforms", "about")]


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("-org=wombat d", "--org=wombat d"),
        ("-org wombat d", "--org=wombat d"),
        ("--org wombat d", "--org=wombat d"),
        ("-docker d", "--docker=true d"),
        ("-docker=false d", "--docker=false d"),
        ("--docker=0 d", "--docker=0 d"),
        ("-dev -docker d", "--dev=true --docker=true d"),
        ("d -hash foo e", "d --hash=foo e"),
        ("-hash -dev d", "--hash=-dev d"),
        ("-tag={{.Hash}}-a=b d", "--tag={{.Hash}}-a=b d"),
        ("-org= d", "--org= d"),
        ("-q d", "--quiet=true d"),
        ("-v d", "--verbose=2 d"),
        ("-v 3 d", "--verbose=3 d"),
        ("-v=3 d", "--verbose=3 d"),
        ("-v3 d", "--verbose=3 d"),
        ("--verbose d", "--verbose=2 d"),
        ("-nosuch d", "--nosuch d"),
        ("-docker -- -dev", "--docker=true -- -dev"),
        ("- d", "- d"),
        ("-h", "-h"),
    ],
)
def test_every_spelling_of_a_flag_becomes_two_dashes_and_a_value(words: str, spelled: str) -> None:
    assert normalize_flags(words.split(" "), FLAGS) == spelled.split(" ")
    assert normalize_flags(spelled.split(" "), FLAGS) == spelled.split(" ")


def test_a_last_flag_without_its_value_is_refused() -> None:
    with pytest.raises(click.UsageError, match="lacks its value"):
        normalize_flags(["d", "-hash"], FLAGS)


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        ("-org wombat show-tag d", "show-tag --org=wombat d"),
        ("--org wombat -dev build -docker d", "build --org=wombat --dev=true --docker d"),
        ("-q -v 2 build d", "build --quiet=true --verbose=2 d"),
        ("show-tag -org wombat d", "show-tag --org=wombat d"),
        ("--help", "--help"),
    ],
)
def test_flags_before_the_verb_are_moved_after_it(words: str, ordered: str) -> None:
    assert move_flags_after_verb(words.split(), COMMON_FLAGS) == ordered.split()
