"""farm policy: who may order what, and which keys build which architectures."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json, print_warnings, say
from farm.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farm.cli.tables import Table
    from farm.settings import Settings
    from farm.trust.policy import Maintainer, Policy, WorkerKey

_Value = TypeVar("_Value")
_FINGERPRINT = 12
"""Characters of a key's fingerprint in a table."""


@click.group("policy")
def policy() -> None:
    """Say who may order what, and which keys build which architectures.

    Maintainers, workers and publishers each read the policy from their own disk: copy the file to all of
    them. Without a setting it is that of the private farm.
    """


@policy.command("check")
@with_settings("policy", "arches")
def check(settings: Settings) -> None:
    """Check the policy, and warn of what a farm for these architectures lacks."""
    from farm.trust.policy_file import load_policy
    from farm.trust.policy_warnings import policy_warnings
    from farm.trust.ssh_signatures import public_key

    path = _path(settings)
    found = load_policy(path)
    print_warnings(policy_warnings(found, settings.arches, now=time.time()))
    if settings.order_key and not found.maintainer_of(public_key(settings.order_key)):
        print_warnings([f"order-key: the policy does not name {settings.order_key}"])
    say(f"{path}  valid  maintainers: {len(found.maintainers)}, workers: {len(found.workers)}")


@policy.command("show")
@with_settings("policy")
@json_option
def show(settings: Settings, as_json: bool) -> None:
    """Show the policy. A key is shown by the start of its SHA-256, as `ssh-keygen -l` prints it."""
    from farm.cli.tables import print_table
    from farm.trust.policy_file import load_policy

    found = load_policy(_path(settings))
    if as_json:
        print_json(found.to_json())
        return
    print_table(
        _table(("maintainer", "key", "may", "release", "until"), map(_maintainer_row, found.maintainers))
    )
    say("")
    print_table(_table(("worker", "key", "arches", "until"), map(_worker_row, found.workers)))
    say("")
    for name in ("signatures", "attestations", "build-arguments", "frontends", "cosign-keys"):
        value = found.to_json()[name]
        shown = (
            len(value) if name == "cosign-keys" else ", ".join(value) if isinstance(value, list) else value
        )
        say(f"{name:<16} {shown or 'none'}")


@policy.group("add")
def add() -> None:
    """Add a maintainer or a worker."""


@add.command("maintainer")
@click.argument("name")
@click.option(
    "--key", required=True, metavar="FILE|KEY", help="Their SSH key: a file, or `ssh-ed25519 AAAA...`."
)
@click.option(
    "--may",
    multiple=True,
    required=True,
    metavar="GLOB",
    help="Names to order, such as docker.io/linuxkit/*.",
)
@click.option("--release", is_flag=True, help="Allow release tags.")
@with_settings("policy")
def add_maintainer(settings: Settings, name: str, key: str, may: tuple[str, ...], release: bool) -> None:
    """Let NAME order builds of these names, with orders signed by this SSH key.

    \b
    farm policy add maintainer alice@example.org --key ~/.ssh/id_ed25519.pub --may 'docker.io/linuxkit/*'

    In a GLOB, * and ? stop at a slash, and ** does not.
    """
    from farm.trust.policy import Maintainer
    from farm.trust.ssh_keys import TYPES, read_public_key
    from farm.trust.ssh_signatures import public_key

    read = read_public_key if key.startswith(tuple(f"{kind} " for kind in TYPES)) else _from_file(public_key)
    new = Maintainer(name, _read("--key", read, key), may, release)
    _change(settings, lambda old: replace(old, maintainers=_with(old.maintainers, new)))
    say(f"{name}  may order  {', '.join(may)}{'  and release' if release else ''}")


@add.command("worker")
@click.argument("name")
@click.option("--key", required=True, metavar="FILE|KEY", help="Its public key: a file, or base64 of DER.")
@click.option(
    "--arch", "arches", multiple=True, required=True, metavar="A", help="Architecture that it builds."
)
@with_settings("policy")
def add_worker(settings: Settings, name: str, key: str, arches: tuple[str, ...]) -> None:
    """Let images of these architectures count as built when this key attests them."""
    from farm.trust.policy import WorkerKey
    from farm.trust.policy_text import read_worker_key

    text = _from_file(Path.read_text)(key) if Path(key).is_file() else key
    new = WorkerKey(name, _read("--key", read_worker_key, _without_armor(text)), arches)
    _change(settings, lambda old: replace(old, workers=_with(old.workers, new)))
    say(f"{name}  builds  {', '.join(arches)}")


@policy.command("remove")
@click.argument("name")
@click.option("--at", metavar="TIME", help="When the key ends, such as 2026-11-30T09:24:04Z. Default: now.")
@click.option("--purge", is_flag=True, help="Remove the entry: nothing that the key ever signed counts.")
@with_settings("policy")
def remove(settings: Settings, name: str, at: str | None, purge: bool) -> None:
    """Remove the keys of the maintainer or worker NAME: what they sign from now on does not count.

    What they signed before still counts, so that what is published stays valid. Whoever has a key can write
    an earlier time into what it signs: if a key was stolen, use --purge.
    """
    from farm.trust.policy import moment
    from farm.trust.policy_text import read_moment

    if purge and at:
        raise InputError("--at has no meaning with --purge")
    until = _read("--at", read_moment, at) if at else float(int(time.time()))

    def change(old: Policy) -> Policy:
        new = old.without(name, None if purge else until)
        if name not in {one.name for one in old.maintainers} | {one.name for one in old.workers}:
            raise InputError(f"{name} is not in the policy", hint="farm policy show lists who is")
        if new == old:
            raise InputError(f"{name} was removed at an earlier time", hint="--purge removes the entry")
        return new

    _change(settings, change)
    lost = "its keys ever signed counts" if purge else f"its keys sign after {moment(until)} counts"
    say(f"{name}  removed: nothing that {lost}")


def _path(settings: Settings) -> Path:
    """The policy of the settings, or that of the private farm where no broker is set."""
    from farm.trust.places import own_policy

    if settings.policy is None and settings.broker is not None:
        raise SettingsError(
            "no policy is set", hint="set policy in farm.yml, FARM_POLICY or --policy to a file"
        )
    return settings.policy or own_policy(settings.state_dir)


def _change(settings: Settings, change: Callable[[Policy], Policy]) -> None:
    from farm.private_farm.own_keys import ensure_own_trust
    from farm.trust.policy_edit import change_policy

    path = _path(settings)
    if settings.policy is None:
        ensure_own_trust(settings.state_dir)
    change_policy(path, change)


def _with(entries: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
    """The entries and a new one; an error if its name or key is there."""
    for one in entries:
        if one.key == new.key:
            raise InputError(f"{new.name}: the policy has this key already, as that of {one.name}")
        if one.name == new.name and one.until is None:
            raise InputError(f"{new.name} is in the policy already", hint=f"farm policy remove {new.name}")
    return (*entries, new)


def _read(flag: str, read: Callable[[str], _Value], text: str) -> _Value:
    try:
        return read(text)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None


def _from_file(read: Callable[[Path], str]) -> Callable[[str], str]:
    def opened(text: str) -> str:
        try:
            return read(Path(text).expanduser())
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--key: {text}: {error}") from None

    return opened


def _without_armor(text: str) -> str:
    """A public key in PEM is the base64 of its DER, in lines between two marks."""
    return "".join(line.strip() for line in text.splitlines() if "-----" not in line)


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    from farm.cli.tables import Cell, Table

    return Table(headings, tuple(tuple(map(Cell, row)) for row in rows), unwrapped=("key", "until"))


def _maintainer_row(one: Maintainer) -> tuple[str, ...]:
    return (
        one.name,
        _fingerprint(one.key.split()[1]),
        ", ".join(one.may),
        "yes" if one.release else "-",
        _end(one),
    )


def _worker_row(one: WorkerKey) -> tuple[str, ...]:
    return one.name, _fingerprint(one.key), ", ".join(one.arches), _end(one)


def _fingerprint(key: str) -> str:
    return base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode()[:_FINGERPRINT]


def _end(one: Maintainer | WorkerKey) -> str:
    from farm.trust.policy import moment

    return "-" if one.until is None else moment(one.until)
