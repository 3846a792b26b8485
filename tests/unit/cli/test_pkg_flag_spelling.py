"""Every spelling of a flag that some `linuxkit` took comes to the one that click takes."""

from __future__ import annotations

import click
import pytest

from farm.cli.pkg.flag_spelling import modern, verb_first
from farm.cli.pkg.flags import COMMON, switch, text

FLAGS = [*COMMON, switch("docker", "about"), text("platforms", "about")]


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
def test_a_flag_has_two_dashes_and_its_value(words: str, spelled: str) -> None:
    assert modern(words.split(" "), FLAGS) == spelled.split(" ")
    assert modern(spelled.split(" "), FLAGS) == spelled.split(" ")


def test_a_flag_at_the_end_that_lacks_its_value_is_told() -> None:
    with pytest.raises(click.UsageError, match="lacks its value"):
        modern(["d", "-hash"], FLAGS)


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
def test_flags_before_the_verb_are_the_verbs(words: str, ordered: str) -> None:
    assert verb_first(words.split(), COMMON) == ordered.split()
