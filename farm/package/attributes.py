"""What git converts when it checks files out, by the .gitattributes of a commit.

Nothing else counts: neither a user's configuration (core.autocrlf, core.attributesFile) nor a repository's
.git/info/attributes, so that all machines find the same. https://git-scm.com/docs/gitattributes
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import GitError
from farm.package.git import ATTRIBUTES, LONGEST, read_at
from farm.package.git_process import ask_git, failed
from farm.settings import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.package.git import Repository, TreeFile

_CONVERTING = re.compile(rb"filter|eol=crlf|ident|working-tree-encoding")
"""What a .gitattributes contains if it changes what is checked out where line ends are LF."""
_ASKED = ("filter", "working-tree-encoding", "eol", "text", "crlf", "ident")
_NO_VALUE = ("unspecified", "set", "unset")
_UTF8 = ("utf-8", "utf8")
_REGULAR = "100"


class Conversion(NamedTuple):
    """What git does to a file on checkout."""

    filter: str = ""
    """The name of the driver; "" for none."""
    encoding: str = ""
    """The encoding in the working tree; "" for the committed one."""
    crlf: bool = False
    """Whether lines end in CR LF."""
    auto: bool = False
    """Whether that is so for a text only, as git recognises it."""
    ident: bool = False
    """Whether $Id$ is expanded."""


def read_conversions(repository: Repository, files: Mapping[bytes, TreeFile]) -> dict[bytes, Conversion]:
    """Path to conversion, for those of the files that git converts; `files` are those of `list_files`."""
    sources = [
        path for path, file in files.items() if _is_attributes(path) and file.mode.startswith(_REGULAR)
    ]
    if not sources:
        return {}
    texts = read_at(repository, map(os.fsdecode, sources))
    if missing := next((path for path in map(os.fsdecode, sources) if path not in texts), None):
        raise GitError(f"{repository.top}: {missing} has more than {LONGEST} bytes, or cannot be read")
    below = tuple(
        os.fsencode(path).removesuffix(ATTRIBUTES.encode())
        for path, text in texts.items()
        if _CONVERTING.search(text)
    )
    paths = [
        path for path, file in files.items() if path.startswith(below) and file.mode.startswith(_REGULAR)
    ]
    if not paths:
        return {}
    index = b"".join(_index_entry(path, files[path]) for path in sources)
    found = ((path, _conversion(values)) for path, values in _attributes(repository, index, paths))
    return {path: conversion for path, conversion in found if conversion != Conversion()}


def _is_attributes(path: bytes) -> bool:
    return path.rpartition(b"/")[2] == ATTRIBUTES.encode()


def _index_entry(path: bytes, file: TreeFile) -> bytes:
    return f"{file.mode} {file.oid}\t".encode() + path + b"\0"


def _conversion(values: Mapping[str, str]) -> Conversion:
    """https://github.com/git/git/blob/v2.39.5/convert.c (convert_attrs)."""
    text = values["crlf"] if values["text"] == "unspecified" else values["text"]
    crlf = values["eol"] == "crlf" and text != "unset"
    encoding = values["working-tree-encoding"]
    driver = values["filter"]
    return Conversion(
        filter="" if driver in _NO_VALUE else driver,
        encoding="" if encoding in _NO_VALUE or encoding.lower() in _UTF8 else encoding,
        crlf=crlf,
        auto=crlf and text == "auto",
        ident=values["ident"] == "set",
    )


def _attributes(
    repository: Repository, index: bytes, paths: Sequence[bytes]
) -> Iterator[tuple[bytes, dict[str, str]]]:
    """The attributes of paths by the files of an index, in a git directory that has nothing else.

    https://git-scm.com/docs/git-check-attr#_output
    """
    with tempfile.TemporaryDirectory(prefix="farm-") as scratch:
        Path(scratch, "HEAD").write_text("ref: refs/heads/none\n")
        Path(scratch, "refs").mkdir()
        objects = _ask(repository, None, "rev-parse", "--git-path", "objects").removesuffix(b"\n")
        alone = {
            **environment(["PATH"]),
            "GIT_DIR": scratch,
            "GIT_INDEX_FILE": str(Path(scratch, "index")),
            "GIT_OBJECT_DIRECTORY": str(Path(repository.top, os.fsdecode(objects))),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
        }
        _ask(repository, alone, "update-index", "-z", "--index-info", given=index)
        # Before version 2.32, git has no GIT_CONFIG_GLOBAL.
        only = ("-c", f"core.attributesFile={os.devnull}", "check-attr", "--cached", "--stdin", "-z")
        answer = _ask(repository, alone, *only, *_ASKED, given=b"".join(path + b"\0" for path in paths))
    fields = answer.split(b"\0")
    for path, at in zip(paths, range(0, len(fields) - 1, 3 * len(_ASKED)), strict=True):
        values = (fields[at + 3 * number + 2].decode(errors="replace") for number in range(len(_ASKED)))
        yield path, dict(zip(_ASKED, values, strict=True))


def _ask(repository: Repository, alone: Mapping[str, str] | None, *command: str, given: bytes = b"") -> bytes:
    answer = ask_git(repository.top, *command, given=given, environment=alone)
    if answer.returncode:
        raise failed(f"{repository.top}: git cannot read the attributes of its files", answer)
    return answer.stdout
