"""farm sign, and the administrator's farm trust, which creates keys and prepares names for signing."""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_answer, print_json, say
from farm.errors import InputError, SettingsError, TrustDeniedError
from farm.model import Reference
from farm.model.reference import is_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.trust.signer import Signer, SignTarget

_HINT = "a name is HOST/REPOSITORY, such as docker.io/linuxkit/foo; a package directory has a build.yml"


@click.group("trust")
def trust() -> None:
    """Create signing keys, and prepare names for signing. Builds never do either."""


@trust.command("key")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@with_settings()
def key(settings: Settings, directory: Path) -> None:
    """Create a delegation key in DIRECTORY: delegation.pem for publishers, delegation.crt for `trust init`.

    Its passphrase is FARM_SIGNING_PASSPHRASE; if it is not set, one is generated and printed once.
    """
    from farm.settings import Secret
    from farm.trust.notary.delegation import generate_delegation_key

    pem = directory / "delegation.pem"
    # Path.exists raises where the directory cannot be searched; creating the key reports that.
    if settings.signing_passphrase is None and os.access(pem, os.F_OK):
        raise TrustDeniedError(f"{pem} exists already", hint="nothing was changed")
    passphrase = settings.signing_passphrase or Secret(secrets.token_urlsafe(24))
    created = generate_delegation_key(directory, passphrase)
    say(f"key          {created.key}   (publishers: signing-key)")
    say(f"certificate  {created.certificate}   (farm trust init --certificate)")
    if settings.signing_passphrase is None:
        say(f"passphrase   {passphrase.reveal()}   (shown only once: signing-passphrase)")


@trust.command("init")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="Certificate of the delegation key. Default: the .crt file beside signing-key.",
)
@json_option
@with_settings("notary_server", "notary_ca", "signing_key", "org")
def init(settings: Settings, names: tuple[str, ...], certificate: Path | None, as_json: bool) -> None:
    """Prepare each NAME, such as docker.io/linuxkit/foo or a package directory, for signing with the key.

    A name includes its registry. If an argument is neither a name nor a package directory, nothing is
    prepared.

    Do this once for each name, with the passphrase of the root key (FARM_ROOT_PASSPHRASE). The root and
    targets keys are kept in docker's trust directory. Repeating it changes nothing.
    """
    from farm.registry.client import open_registry
    from farm.trust.notary import configure
    from farm.trust.notary.initialise import initialise

    if settings.root_passphrase is None:
        raise SettingsError("the root key's passphrase is not set", hint="set FARM_ROOT_PASSPHRASE")
    certificate = certificate or (settings.signing_key and settings.signing_key.with_suffix(".crt"))
    if certificate is None:
        raise InputError("no certificate is given", hint="add --certificate delegation.crt")
    guns = guns_of(names, settings.org)
    done = []
    with open_registry(settings) as registry:
        for gun in guns:
            say("" if as_json else f"{gun}  ", end="")
            result = "not prepared"
            try:
                login = registry.credentials.login_for(gun.partition("/")[0])
                steps = list(
                    initialise(
                        gun,
                        certificate,
                        configure.notary_server(settings, gun, login),
                        trust_dir=configure.admin_trust_dir(settings),
                        root_passphrase=settings.root_passphrase,
                        role=settings.signing_role,
                    )
                )
                result = ", ".join(steps) or "was ready"
                done.append({"name": gun, "steps": steps})
            finally:
                say("" if as_json else result, end="" if as_json else "\n")
    if as_json:
        print_json(done)


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


@click.command("sign")
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@with_settings("notary_server", "notary_ca", "signing_key", "signing_role")
@click.option("--print", "only_print", is_flag=True, help="Print the notary commands, and sign nothing.")
@json_option
def sign(settings: Settings, references: tuple[str, ...], only_print: bool, as_json: bool) -> None:
    """Sign what each REF refers to, an index or one architecture's image, as the publisher does.

    Signs the digest and size of the bytes that the registry serves. What is signed already is skipped.

    \b
    farm sign linuxkit/foo:HASH linuxkit/foo:HASH-arm64
    farm sign --print linuxkit/foo:HASH
    """
    from farm.registry.client import open_registry
    from farm.trust.signer import make_signer

    with open_registry(settings) as registry:
        signer = make_signer(settings, registry.credentials)
        targets = [_read_target(registry, text) for text in references]
        if not only_print:
            signer.ready(target.name for target in targets)
            signer.sign(targets)
    rows = [_to_json(signer, target, settings.signing_role) for target in targets]
    lines = (row["command"] if only_print else f"{row['reference']}  signed  {row['digest']}" for row in rows)
    print_answer(rows, lines, as_json=as_json)


def _read_target(registry: Registry, text: str) -> SignTarget:
    """What a reference refers to now."""
    from farm.trust.signer import SignTarget

    reference = Reference.parse(text).or_latest()
    if not reference.tag or reference.digest:
        raise InputError(f"{text}: only a tag can be signed", hint="write it as NAME:TAG")
    return SignTarget.of(reference, registry.existing(reference).descriptor)


def _to_json(signer: Signer, target: SignTarget, role: str) -> dict[str, Any]:
    return {
        "reference": f"{target.name}:{target.tag}",
        "digest": target.digest,
        "size": target.size,
        "role": role,
        "command": shlex.join(signer.command_line(target)),
    }
