"""The verbs and flags of a `linuxkit`, read from its --help.

Record those of a new release: python -m tests.support.linuxkit_help /path/to/linuxkit COMMIT
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

RECORDED = Path(__file__).parents[1] / "data" / "linuxkit-flags.json"
_FLAG = re.compile(r"^ +(?:-\w, )?(--[a-z-]+)(?: (\w[\w ]*?))? {2,}", re.MULTILINE)
_VERBS = re.compile(r"^Available Commands:\n((?:  \S.*\n)+)", re.MULTILINE)
_GROUPS = ("pkg", "cache")
_HIDDEN = ("pkg push",)
"""Deprecated: --help does not list it."""


def _help(program: str, verb: str) -> str:
    words = [program, *verb.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def record(program: str, commit: str) -> None:
    """Write every verb of `pkg` and `cache` with its flags; the kind of a boolean flag is "bool"."""
    listed = [(group, _VERBS.search(_help(program, group))) for group in _GROUPS]
    lines = [(group, line) for group, found in listed if found for line in found[1].splitlines()]
    verbs = sorted({*(f"{group} {line.split()[0]}" for group, line in lines), *_HIDDEN})
    flags = {
        verb: {name: kind or "bool" for name, kind in _FLAG.findall(_help(program, verb)) if name != "--help"}
        for verb in verbs
    }
    RECORDED.write_text(json.dumps({"commit": commit, "verbs": flags}, indent=1) + "\n")


if __name__ == "__main__":
    record(*sys.argv[1:])
