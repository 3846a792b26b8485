"""The site's policy: made with the site, and completed when a machine joins.

The scripts have no library that reads YAML: a policy is changed here only as long as its workers stand in the
lines that `farm policy` writes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from compose.files import write_changed, write_missing
from compose.keys import ORDER_KEY
from compose.site import registry_name
from farm.errors import InputError
from farm.system.files import make_directory
from farm.system.locks import locked
from farm.trust.policy import SIGNATURES, Maintainer, Policy, WorkerKey, item_line, text_of
from farm.trust.worker_keys import is_usual_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from compose.site import Site

_HEADER = """\
# Who may order builds of what, and which keys build what. docs/operations.md says who needs a copy.
#   sudo ~/farm/bin/farm --config compose/secrets/administrator/farm.yml policy check | show | add | remove
# build-arguments: those that an order may set, beyond the ones of a package's build.yml.
# frontends: images that a Dockerfile may name with `# syntax=`, and that decide what a build does.
"""
_BUILD_ARGUMENTS = ("GOPROXY", "*_proxy", "*_PROXY")
_FRONTENDS = ("docker.io/docker/dockerfile",)
_READABLE, _SEARCHABLE = 0o644, 0o755
"""The user of the containers reads the policy; only its owner writes it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_SECTION = re.compile(r"workers:(\s*\[\])?\s*")
_LINE = re.compile(r'  - \{name: "([^"]*)", key: "([^"]*)", arches: \[[^]]*\](, until: "[^"]*")?\}\s*')
_LOCK_WAIT = 30.0


def make_policy(site: Site, variables: Mapping[str, str], workers: Sequence[WorkerKey]) -> list[Path]:
    """Make the policy if it is missing: for the first maintainer, and these workers of this machine."""
    if site.policy.exists():
        return []
    make_directory(site.policy.parent)
    site.policy.parent.chmod(_SEARCHABLE)
    policy = Policy(
        maintainers=(Maintainer("maintainer", _order_key(site), (f"{registry_name(variables)}/**",), True),),
        workers=tuple(workers),
        signatures=tuple(signers(variables)),
        build_arguments=_BUILD_ARGUMENTS,
        frontends=_FRONTENDS,
        cosign_keys=((site.secrets / "cosign.pub").read_text("utf-8"),),
    )
    return write_missing({site.policy: _HEADER + text_of(policy)}, _READABLE)


def _order_key(site: Site) -> str:
    return " ".join((site.maintainer / f"{ORDER_KEY}.pub").read_text("utf-8").split()[:2])


def signers(variables: Mapping[str, str]) -> list[str]:
    """What signs, and is demanded; notary with a .env from before there was a choice.

    Raises:
        InputError: there is no such signer.
    """
    found = (variables.get("SIGNERS") or "notary").split(",")
    if not {*found} <= {*SIGNATURES} or len({*found}) < len(found):
        raise InputError(f"SIGNERS={','.join(found)}: must be cosign, notary, or cosign,notary")
    return found


def add_worker(site: Site, new: WorkerKey) -> None:
    """Let a worker build, if the policy does not name its key already.

    Raises:
        InputError: it is no worker's name and key, another key has that name, or the workers do not stand in
            the lines of `farm policy`; nothing was changed.
    """
    if not (_NAME.fullmatch(new.name) and is_usual_key(new.key)):
        found = f"{new.name} {new.key}"
        raise InputError(f"{found}: no name and key of a worker", hint="compose/join prints both")
    busy = InputError(f"{site.policy} is being changed by another process", hint="try again")
    with locked(site.policy.with_name(f".{site.policy.name}.lock"), timeout=_LOCK_WAIT, busy=busy):
        lines = _with_worker(site.policy.read_text("utf-8").splitlines(), new, site.policy)
        write_changed({site.policy: "\n".join(lines)}, _READABLE)


def _with_worker(lines: list[str], new: WorkerKey, path: Path) -> list[str]:
    """The lines of the policy with a worker's."""
    start = next((number for number, line in enumerate(lines) if line.startswith("workers:")), len(lines))
    if start < len(lines) and not _SECTION.fullmatch(lines[start]):
        raise _other_spelling(path, start)
    end = start + 1
    for number, line in enumerate(lines[end:], end):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] not in " -":
            break
        found = _LINE.fullmatch(line)
        if found is None:
            raise _other_spelling(path, number)
        name, key, until = found.groups()
        if key == new.key:
            return lines
        if name == new.name and not until:
            hint = f"farm policy remove {name}, if that key is not used any more"
            raise InputError(f"{path} has another key of {name}; nothing was changed", hint=hint)
        end = number + 1
    entry = item_line(Policy(workers=(new,)).to_json()["workers"][0])
    return [*lines[:start], "workers:", *lines[start + 1 : end], entry, *lines[end:]]


def _other_spelling(path: Path, number: int) -> InputError:
    return InputError(
        f"{path}:{number + 1}: not written as `farm policy` does; nothing was changed",
        hint="add the worker with farm policy add worker, then run this again without --worker",
    )
