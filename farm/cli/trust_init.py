"""farm trust init and pin: what signing needs on this machine, and which root keys count."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json, say
from farm.errors import InputError, SettingsError, TrustError
from farm.model import Reference
from farm.model.reference import is_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.registry.client import Registry
    from farm.settings import Secret, Settings
    from farm.trust.notary.client import NotaryServer

_HINT = "a name is HOST/REPOSITORY, such as docker.io/linuxkit/foo; a package directory has a build.yml"
_SETTINGS = ("notary_server", "notary_ca", "trust_pins", "signing_key", "org")


@click.command("init")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="Certificate of the delegation key. Default: the .crt file beside signing-key.",
)
@json_option
@with_settings(*_SETTINGS)
def init(settings: Settings, names: tuple[str, ...], certificate: Path | None, as_json: bool) -> None:
    """Make what signing needs on this machine, and prepare each NAME for signing with the key.

    Without a signing-key, a delegation key is made in the state directory; the settings that name it are
    printed, for farm.yml.

    A NAME is a repository with its registry, such as docker.io/linuxkit/foo, or a package directory. If an
    argument is neither, nothing is prepared. Do this once for each name, with the passphrase of the root key
    (FARM_ROOT_PASSPHRASE, else asked for). The root and targets keys are kept in docker's trust directory,
    and the root key is pinned for all names beside NAME. Repeating it changes nothing.

    \b
    farm trust init
    farm trust init pkg/foo docker.io/linuxkit/bar
    """
    from farm.registry.client import open_registry

    guns = guns_of(names, settings.org)
    own = _own_key(settings) if certificate is None else None
    if own and not as_json and (own.to_set or not guns):
        for line in own.lines(settings):
            say(line)
    if not guns:
        if as_json:
            print_json([])
        return
    if certificate is None:
        assert own is not None  # noqa: S101 - made where no certificate was given
        certificate = own.key.with_suffix(".crt")
    passphrase = _root_passphrase(settings)
    done = []
    with open_registry(settings) as registry:
        for gun in guns:
            say("" if as_json else f"{gun}  ", end="")
            result = "not prepared"
            try:
                steps = _prepare(gun, certificate, settings, registry, passphrase)
                result = ", ".join(steps) or "was ready"
                done.append({"name": gun, "steps": steps})
            finally:
                say("" if as_json else result, end="" if as_json else "\n")
    if as_json:
        print_json(done)


class _OwnKey(NamedTuple):
    """The delegation key of this machine, and the settings that are to name it."""

    key: Path
    to_set: tuple[tuple[str, str], ...] = ()

    def lines(self, settings: Settings) -> Iterator[str]:
        from farm.trust.notary import configure

        yield f"key          {self.key}{'' if self.key.exists() else ', which does not exist'}"
        yield f"certificate  {self.key.with_suffix('.crt')}"
        yield f"root key     in {configure.admin_trust_dir(settings) / 'private'}, once a name is prepared"
        yield f"pins         {configure.pins_file(settings)}"
        if self.to_set:
            yield "put this into farm.yml:"
        for name, value in self.to_set:
            yield f"  {name}: {value}"


def _own_key(settings: Settings) -> _OwnKey:
    """The key that the settings name, or one in the state directory, made if it is missing."""
    if settings.signing_key is not None:
        return _OwnKey(settings.signing_key)
    from farm.settings import Secret
    from farm.system.files import make_private, write_once
    from farm.trust.notary.delegation import generate_delegation_key

    directory = settings.state_dir / "keys"
    file = directory / "passphrase"
    given = settings.signing_passphrase
    if given is None:
        try:
            make_private(directory)
            write_once(file, f"{secrets.token_urlsafe(24)}\n")
            given = Secret(file.read_text("utf-8").removesuffix("\n"))
        except OSError as error:
            raise InputError(f"{directory}: no key can be made there: {error.strerror}") from error
    made = generate_delegation_key(directory, given)
    server = settings.notary_server or "https://...   # your notary server; docs/operations.md sets one up"
    passphrase = () if settings.signing_passphrase else (("signing-passphrase-file", str(file)),)
    to_set = (("signing-key", str(made.key)), *passphrase, ("notary-server", server))
    return _OwnKey(made.key, to_set)


def _root_passphrase(settings: Settings) -> Secret:
    from farm.settings import Secret

    if settings.root_passphrase is not None:
        return settings.root_passphrase
    if not sys.stdin.isatty():
        raise SettingsError("the root key's passphrase is not set", hint="set FARM_ROOT_PASSPHRASE")
    return Secret(click.prompt("passphrase of the root key", hide_input=True, err=True))


def _prepare(
    gun: str, certificate: Path, settings: Settings, registry: Registry, passphrase: Secret
) -> list[str]:
    from farm.trust.notary.configure import admin_trust_dir
    from farm.trust.notary.initialise import initialise

    steps = initialise(
        gun,
        certificate,
        _server(gun, settings, registry),
        trust_dir=admin_trust_dir(settings),
        root_passphrase=passphrase,
        role=settings.signing_role,
    )
    return [str(step) for step in steps]


def _server(gun: str, settings: Settings, registry: Registry) -> NotaryServer:
    from farm.trust.notary.configure import notary_server

    return notary_server(settings, gun, registry.credentials.login_for(gun.partition("/")[0]))


@click.command("pin")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--root", metavar="ID", help="Pin this root key, in place of an earlier one.")
@with_settings(*_SETTINGS[:3], "org")
def pin(settings: Settings, names: tuple[str, ...], root: str | None) -> None:
    """Pin the root key that certifies the signatures of each NAME, and print its id.

    Signatures count only below a pinned root key: `farm trust init` pins the administrator's own, and this
    command anybody's. Without --root it is the key that the notary server shows now: compare the id with that
    of `notary key list` on the administrator's machine. With --root, NAME may be a prefix, such as
    docker.io/linuxkit/*.

    \b
    farm trust pin docker.io/linuxkit/foo
    farm trust pin --root 58b50dc7... docker.io/linuxkit/*
    """
    from farm.registry.client import open_registry
    from farm.trust.notary import configure
    from farm.trust.notary.pins import is_root_id
    from farm.trust.notary.pins import pin as write_pin

    file = configure.pins_file(settings)
    if root is not None:
        if not is_root_id(root):
            raise InputError(f"{root}: not the id of a root key", hint="it has 64 hexadecimal digits")
        prefixes = [name for name in names if name.endswith("/*")]
        for name in (*prefixes, *guns_of([one for one in names if one not in prefixes], settings.org)):
            write_pin(file, name, [root])
            say(f"{name}  {root}")
        return
    with open_registry(settings) as registry:
        for gun in guns_of(names, settings.org):
            ids = _unpinned_roots(gun, _server(gun, settings, registry), file)
            if ids:
                write_pin(file, gun, ids)
            say(f"{gun}  {', '.join(ids) or 'was pinned'}")


def _unpinned_roots(gun: str, server: NotaryServer, file: Path) -> tuple[str, ...]:
    """The root keys that the server shows; none if they are pinned already, and an error if others are."""
    from farm.trust.notary.pins import read_pins
    from farm.trust.notary.roots import read_roots

    shown, pinned = read_roots(gun, server), read_pins(file).ids(gun)
    if not pinned:
        return shown
    if set(shown) <= set(pinned):
        return ()
    raise TrustError(
        f"{gun}: {server.url} shows the root key {', '.join(shown)}, but {file} pins {', '.join(pinned)}",
        hint=f"if the administrator replaced it: farm trust pin --root {shown[0]} {gun}",
    )


def guns_of(arguments: Sequence[str], org: str | None) -> list[str]:
    """The GUN of each argument: a name is one already, a package directory's is made from its build.yml.

    A mistyped directory is never taken for a name.
    """
    from farm.package.read_packages import read_packages
    from farm.package.tags import TagOptions

    directories = [argument for argument in arguments if (Path(argument) / "build.yml").is_file()]
    names = {argument: _parse_gun(argument) for argument in arguments if argument not in directories}
    packages = read_packages(directories, TagOptions(org=org)) if directories else []
    by_path = {Path(package.directory).resolve(): package.reference.name for package in packages}
    guns = (names.get(argument) or by_path[Path(argument).resolve()] for argument in arguments)
    return list(dict.fromkeys(guns))


def _parse_gun(name: str) -> str:
    if Path(name).exists():
        raise InputError(f"{name}: not a package directory: it has no build.yml", hint=_HINT)
    try:
        gun = Reference.parse(name).name
    except InputError:
        gun = ""
    host, slash, _ = name.partition("/")
    if not (gun and slash and is_host(host)):
        raise InputError(f"{name}: neither a package directory nor a name with its registry", hint=_HINT)
    return gun
