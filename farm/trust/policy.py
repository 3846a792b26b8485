"""The policy: who may order what, which keys build which architectures, and what an order may contain.

Pure: policy_text.py reads its text, policy_file.py its file. To write one needs no library of YAML.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from farm.errors import InputError, PolicyError
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNATURES = ("cosign", "notary")
_SHOWN = 3
"""How many names an error lists."""


@dataclass(frozen=True, slots=True)
class Maintainer:
    """Who may order builds, by their SSH key."""

    name: str
    key: str
    """The public key, `ssh-ed25519 AAAA...`, without a comment."""
    may: tuple[str, ...]
    """Globs of the names that they may order, HOST/REPOSITORY; see `matches`."""
    release: bool = False
    """Whether they may release and adopt: give a tag to something that no worker has built for that tag."""
    until: float | None = None
    """Unix time after which what the key signed does not count; what it signed before does."""

    def counts(self, at: float) -> bool:
        """Whether what the key signed at a time counts."""
        return self.until is None or at <= self.until


@dataclass(frozen=True, slots=True)
class WorkerKey:
    """A worker, by the key with which it attests what it built."""

    name: str
    key: str
    """The public key, ECDSA P-256, as base64 of its DER SubjectPublicKeyInfo."""
    arches: tuple[str, ...]
    """The architectures for which its attestations count."""
    until: float | None = None
    """Unix time after which what the key signed does not count; what it signed before does."""

    def counts(self, at: float) -> bool:
        """Whether what the key signed at a time counts."""
        return self.until is None or at <= self.until


Entry = TypeVar("Entry", Maintainer, WorkerKey)


@dataclass(frozen=True, slots=True)
class Policy:
    """What maintainers, workers and publishers go by; each reads it from its own disk."""

    maintainers: tuple[Maintainer, ...] = ()
    workers: tuple[WorkerKey, ...] = ()
    signatures: tuple[str, ...] = ()
    """The signatures that `farm verify` demands, of SIGNATURES."""
    attestations: int = 1
    """How many workers must have made the same bytes."""
    build_arguments: tuple[str, ...] = ()
    """Globs of the build arguments that an order may set, beyond those of build.yml."""
    frontends: tuple[str, ...] = ()
    """Globs of the names of frontend images that an order may use."""
    cosign_keys: tuple[str, ...] = ()
    """The public keys in PEM whose signatures `farm verify` accepts."""

    def maintainer_of(self, key: str) -> Maintainer | None:
        """Whose SSH key this is; None for nobody's."""
        return next((one for one in self.maintainers if one.key == key), None)

    def worker_of(self, key: str) -> WorkerKey | None:
        """Whose key this is, as base64 of its DER; None for nobody's."""
        return next((one for one in self.workers if one.key == key), None)

    def without(self, name: str, until: float | None) -> Policy:
        """The policy in which the keys of `name` count until a time; without its entries if that is None."""
        if until is not None:
            return replace(
                self,
                maintainers=ended(self.maintainers, name, until),
                workers=ended(self.workers, name, until),
            )
        maintainers = tuple(one for one in self.maintainers if one.name != name)
        return replace(
            self, maintainers=maintainers, workers=tuple(w for w in self.workers if w.name != name)
        )

    def may_order(self, maintainer: Maintainer, names: Iterable[str], *, release: bool, at: float) -> None:
        """Make sure that a maintainer may order all these names, and release or adopt them if `release`.

        Args:
            maintainer: who signed the order.
            names: HOST/REPOSITORY of each package.
            release: whether the order gives a tag to something that no worker has built for that tag.
            at: when it was signed, Unix time.

        Raises:
            PolicyError: they may not; it says who, what, and what to do.
        """
        who, wanted = maintainer.name, list(names)
        if not maintainer.counts(at):
            raise PolicyError(
                f"the policy has removed this key of {who}: what it signed after {moment(maintainer.until)} "
                "does not count",
                hint="sign with a key that the policy names: order-key",
            )
        if refused := [name for name in wanted if not matches(name, maintainer.may)]:
            raise PolicyError(
                f"{who} may not order {_list(refused)}",
                hint=f"the policy allows only {', '.join(maintainer.may)}; change it or ask another one",
            )
        if release and not maintainer.release:
            raise PolicyError(
                f"{who} may not release or adopt {_list(wanted)}",
                hint=f"set `release: true` for {who} in the policy, or ask another maintainer",
            )

    def refused_build_arguments(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the build arguments that an order may not set."""
        return tuple(name for name in names if not matches(name, self.build_arguments))

    def refused_frontend(self, image: str) -> bool:
        """Whether an order may not use this frontend image, whatever its tag or digest."""
        try:
            return not matches(Reference.parse(image).name, self.frontends)
        except InputError:
            return True

    def to_json(self) -> dict[str, Any]:
        """The policy as plain data, with the names that its file uses."""
        return {
            "maintainers": [
                {"name": one.name, "key": one.key, "may": list(one.may), "release": one.release}
                | _until(one.until)
                for one in self.maintainers
            ],
            "workers": [
                {"name": one.name, "key": one.key, "arches": list(one.arches)} | _until(one.until)
                for one in self.workers
            ],
            "signatures": list(self.signatures),
            "attestations": self.attestations,
            "build-arguments": list(self.build_arguments),
            "frontends": list(self.frontends),
            "cosign-keys": list(self.cosign_keys),
        }


def ended(entries: Iterable[Entry], name: str, at: float) -> tuple[Entry, ...]:
    """The entries, where what the key of `name` signs counts until a time, or an earlier one that was set."""
    return tuple(
        replace(one, until=at) if one.name == name and (one.until is None or one.until > at) else one
        for one in entries
    )


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs matches the whole name: `*` and `?` stop at a `/`, `**` does not."""
    return any(_pattern(glob).fullmatch(name) for glob in globs)


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """No wildcard matches a blank, a control character, or anything outside ASCII."""
    wild = {"**": "[!-~]*", "*": "[!-.0-~]*", "?": "[!-.0-~]"}
    return re.compile("".join(wild.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", glob)))


def moment(at: float | None) -> str:
    """A Unix time as the policy writes it: 2026-11-30T09:24:04Z."""
    return datetime.fromtimestamp(at or 0, UTC).isoformat().replace("+00:00", "Z")


def _until(at: float | None) -> dict[str, str]:
    return {} if at is None else {"until": moment(at)}


def _list(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def text_of(policy: Policy) -> str:
    """The policy as text, one line for each maintainer and worker; `policy_of` reads the same policy."""
    lines = []
    for name, value in policy.to_json().items():
        if not isinstance(value, list) or all(isinstance(item, str) for item in value):
            lines.append(f"{name}: {json.dumps(value)}")
        else:
            lines += [f"{name}:", *map(item_line, value)]
    return "\n".join(lines) + "\n"


def item_line(entry: dict[str, Any]) -> str:
    """A maintainer or worker as a line of the text."""
    return f"  - {{{', '.join(f'{name}: {json.dumps(value)}' for name, value in entry.items())}}}"
