"""A Dockerfile gets no frontend that the policy does not allow, in whatever way it names one."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest

from farm.errors import FarmError, PolicyError
from farm.model import Job, Reference
from farm.trust.policy import Policy
from tasks.build_inputs import refuse_inputs
from tests.support.values import HASH, digest

EVIL = "evil.example.org/frontend"
JOB = Job(
    "r1-abcd", "p", Reference.parse(f"a.org/b/p:{HASH}"), "arm64", HASH, HASH, "{{.Hash}}", digest("context")
)
POLICY = Policy(frontends=("docker.io/docker/dockerfile",), build_arguments=("GOPROXY",))


def context(files: dict[str, bytes], links: dict[str, str] | None = None) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "text",
    [
        f"# syntax={EVIL}\nFROM a\n",
        f"#syntax = {EVIL} argument\r\nFROM a\n",
        f"# escape=`\n# syntax={EVIL}\nFROM a\n",
        f"\ufeff# SYNTAX={EVIL}\n",
        f"\x0b\x0c\u00a0# syntax={EVIL}\n",
        f"#!/usr/bin/env frontend\n# syntax={EVIL}\n",
        f"// syntax={EVIL}\nFROM a\n",
        f'{{"syntax": "{EVIL}"}}',
        f'\n {{"a": [1], "syntax": "{EVIL}", "n": {"1" * 5000}}}',
    ],
)
def test_every_way_to_name_a_frontend_is_found(text: str) -> None:
    with pytest.raises(PolicyError, match="does not allow the frontend"):
        refuse_inputs(context({"Dockerfile": text.encode()}), JOB, POLICY)


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1\nFROM a\n",
        f"FROM a\n# syntax={EVIL}\n",
        f"# a comment\n# syntax={EVIL}\nFROM a\n",
        f"\n# syntax={EVIL}\nFROM a\n",
        "",
    ],
)
def test_what_names_no_other_frontend_is_built(text: str) -> None:
    refuse_inputs(context({"Dockerfile": text.encode()}), JOB, POLICY)


@pytest.mark.parametrize(
    ("name", "file", "links"),
    [
        ("Dockerfile", "real", {"Dockerfile": "real"}),
        ("Dockerfile", "dir/real", {"Dockerfile": "/dir/../link", "link": "dir/real"}),
        ("docker/Dockerfile", "dir/Dockerfile", {"docker": "dir"}),
        ("./Dockerfile", "Dockerfile", {}),
        ("Dockerfile", "dockerfile", {}),
        ("Dockerfile", "real", {"dockerfile": "./real"}),
    ],
)
def test_the_file_that_the_builder_reads_is_the_one_that_is_checked(
    name: str, file: str, links: dict[str, str]
) -> None:
    tar = context({file: f"# syntax={EVIL}\n".encode()}, links)
    with pytest.raises(PolicyError, match="does not allow the frontend"):
        refuse_inputs(tar, replace(JOB, dockerfile=name), POLICY)


def test_links_in_a_circle_are_refused() -> None:
    with pytest.raises(FarmError, match="behind more than 40 links"):
        refuse_inputs(context({}, {"Dockerfile": "a", "a": "Dockerfile"}), JOB, POLICY)


def test_a_build_argument_must_be_in_the_policy_or_in_build_yml() -> None:
    own = context({"build.yml": b"image: p\nbuildArgs: [OWN=1]\n", "Dockerfile": b"FROM a\n"})
    allowed = replace(JOB, build_args=(("OWN", "2"), ("GOPROXY", "x"), ("SOURCE", "y")))
    refuse_inputs(own, allowed, POLICY)
    with pytest.raises(PolicyError, match="build arguments BASE"):
        refuse_inputs(own, replace(JOB, build_args=(("BASE", "evil"),)), POLICY)
